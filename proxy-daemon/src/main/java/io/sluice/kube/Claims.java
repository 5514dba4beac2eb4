package io.sluice.kube;

import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Which of several services gets an address: the older one, then the first by name; of two ports of one service the
 * first. Confined to one thread.
 */
final class Claims {
    private final Map<ServiceKey, Set<FrontendAddress>> claimed = new HashMap<>();
    /** Who wants an address, the owner first. One entry nearly always. */
    private final Map<FrontendAddress, TreeMap<Claim, ServicePortName>> claims = new HashMap<>();

    private record Claim(long createdSeconds, ServiceKey service) implements Comparable<Claim> {
        @Override
        public int compareTo(Claim other) {
            int byAge = Long.compare(createdSeconds, other.createdSeconds);
            return byAge != 0 ? byAge : service.compareTo(other.service);
        }
    }

    /**
     * Replaces what a service wants.
     *
     * @param wanted empty if it wants nothing any more
     * @param touched told of each address it wanted or wants now
     * @param rivals told of each service that wants one of them too
     */
    void replace(
            ServiceKey service,
            long createdSeconds,
            Map<FrontendAddress, ServicePortName> wanted,
            Consumer<FrontendAddress> touched,
            Consumer<ServiceKey> rivals) {
        Set<FrontendAddress> before =
                wanted.isEmpty() ? claimed.remove(service) : claimed.put(service, wanted.keySet());
        if (before != null) {
            before.forEach(address -> withdraw(service, address, rivals));
            before.forEach(touched);
        }
        Claim claim = new Claim(createdSeconds, service);
        wanted.forEach((address, name) -> {
            TreeMap<Claim, ServicePortName> claimants = claims.computeIfAbsent(address, a -> new TreeMap<>());
            claimants.put(claim, name);
            if (claimants.size() > 1) {
                claimants.keySet().forEach(other -> rivals.accept(other.service()));
            }
            touched.accept(address);
        });
    }

    private void withdraw(ServiceKey service, FrontendAddress address, Consumer<ServiceKey> rivals) {
        TreeMap<Claim, ServicePortName> claimants = claims.get(address);
        if (claimants == null) {
            return;
        }
        // The creation time may have changed since; the service is what identifies its claim.
        claimants.keySet().removeIf(claim -> claim.service().equals(service));
        claimants.keySet().forEach(claim -> rivals.accept(claim.service()));
        if (claimants.isEmpty()) {
            claims.remove(address);
        }
    }

    /** Who has the address; null if nobody wants it. */
    @Nullable
    ServicePortName ownerOf(FrontendAddress address) {
        TreeMap<Claim, ServicePortName> claimants = claims.get(address);
        return claimants == null ? null : claimants.firstEntry().getValue();
    }
}
