package io.sluice.apiserver;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Flags that configure access to the API servers. All of them are optional.
 *
 * @param kubeconfigs kubeconfig files to use instead of the default ones
 * @param context kubeconfig context to use; empty for the current context
 * @param masters URLs of API servers; they override the server in a kubeconfig
 * @param tokenFile file with a bearer token; overrides the credentials in a kubeconfig
 * @param certificateAuthority CA bundle; overrides the CA in a kubeconfig
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
