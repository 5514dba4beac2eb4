package io.sluice.apiserver;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What the user says of the API server; all of it may be left out.
 *
 * @param kubeconfigs files to use instead of those that are usual
 * @param context of the kubeconfig, instead of its current one; or empty
 * @param masters URLs, instead of the server a kubeconfig names
 * @param tokenFile instead of the credentials of a kubeconfig
 * @param certificateAuthority instead of that of a kubeconfig
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
