package io.sluice.daemon;

import io.sluice.apiserver.ApiAccess;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.config.Settings;
import io.sluice.feed.FileReflector;
import io.sluice.feed.Reflector;
import io.sluice.feed.SyncLoop;
import java.time.Duration;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Creates the reflector of the configured source, a feed or an API server. */
final class Reflectors {
    /** How long to wait for the Node object: Sluice may start before the kubelet has registered the node. */
    private static final Duration NODE_WAIT = Duration.ofMinutes(5);

    private Reflectors() {}

    /**
     * Creates a reflector without starting it. One that watches an API server also records Events there.
     *
     * @param api API server to watch; null to read the feed
     */
    static Reflector reflector(Settings settings, @Nullable ApiAccess api, SyncLoop syncLoop, ChangeReporter reporter) {
        if (api == null) {
            return new FileReflector(Objects.requireNonNull(settings.feed()), settings.buildOptions(), syncLoop);
        }
        // Without the Node, bind mode serves NodePorts later, but node mode would apply rules without masquerading.
        Duration nodeWait = settings.rules() == null ? Duration.ZERO : NODE_WAIT;
        KubernetesReflector kubernetes =
                KubernetesReflector.of(api, settings.buildOptions(), settings.endpointsApi(), nodeWait, syncLoop);
        reporter.recordEvents(kubernetes.events());
        return kubernetes;
    }
}
