package io.sluice.apiserver;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Flags for the access to API servers; all are optional.
 *
 * @param kubeconfigs files to use instead of the default ones
 * @param context context of the kubeconfig to use; empty for its current one
 * @param masters URLs of API servers; override the server of a kubeconfig
 * @param tokenFile file with a bearer token; overrides the credentials of a kubeconfig
 * @param certificateAuthority CA bundle; overrides that of a kubeconfig
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
