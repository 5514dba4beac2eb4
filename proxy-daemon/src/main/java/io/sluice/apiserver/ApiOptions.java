package io.sluice.apiserver;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Flags that configure access to the API servers. All of them are optional.
 *
 * @param kubeconfigs kubeconfig files to use; if empty, another source is used
 * @param context kubeconfig context to use; empty for the current context
 * @param masters URLs of API servers; they override the server in a kubeconfig
 * @param tokenFile file with a bearer token; overrides any other token, password or exec plugin
 * @param certificateAuthority CA bundle; overrides any other CA
 */
public record ApiOptions(
        List<Path> kubeconfigs,
        String context,
        List<String> masters,
        @Nullable Path tokenFile,
        @Nullable Path certificateAuthority,
        boolean insecureSkipTlsVerify) {

    public ApiOptions {
        kubeconfigs = List.copyOf(kubeconfigs);
        masters = List.copyOf(masters);
    }
}
