package io.sluice.rules;

import static java.util.Objects.requireNonNull;

import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Decides which Service gets an address that several Services claim: the oldest one; among Services of the same age,
 * the one that sorts first by namespace and name. If two ports of one Service claim the same address, the first port
 * gets it. Confined to one thread.
 */
final class AddressClaims {
    private final Map<ServiceKey, List<FrontendAddress>> claimed = new HashMap<>();
    /** The claim that holds each address. */
    private final Map<FrontendAddress, Claim> owners = new HashMap<>();
    /** All claims to the few addresses that several Services claim; the first claim is the owner's. */
    private final Map<FrontendAddress, TreeSet<Claim>> contested = new HashMap<>();

    private record Claim(long createdSeconds, ServicePortName name) implements Comparable<Claim> {
        private static final Comparator<Claim> ORDER = Comparator.comparingLong(Claim::createdSeconds)
                .thenComparing(claim -> claim.name().namespace())
                .thenComparing(claim -> claim.name().service());

        /** Ignores the port: a Service claims an address at most once. */
        @Override
        public int compareTo(Claim other) {
            return ORDER.compare(this, other);
        }

        ServiceKey service() {
            return new ServiceKey(name.namespace(), name.service());
        }
    }

    /**
     * Replaces the claims of a Service. If the claims have not changed, does nothing and returns an empty set.
     *
     * @param wanted the addresses that the Service claims now; empty to withdraw all claims
     * @param touched callback for each address that the Service claimed before or claims now
     * @param rivals callback for each other Service that claims one of these addresses
     * @return the service ports that had claims before
     */
    Set<ServicePortName> replace(
            ServiceKey service,
            long createdSeconds,
            Map<FrontendAddress, ServicePortName> wanted,
            Consumer<FrontendAddress> touched,
            Consumer<ServiceKey> rivals) {
        List<FrontendAddress> before = claimed.getOrDefault(service, List.of());
        if (isUnchanged(before, createdSeconds, wanted)) {
            return Set.of();
        }
        Set<ServicePortName> names = new HashSet<>();
        for (FrontendAddress address : before) {
            names.add(withdraw(service, address, rivals).name());
            touched.accept(address);
        }
        wanted.forEach((address, name) -> {
            claim(address, new Claim(createdSeconds, name), rivals);
            touched.accept(address);
        });
        if (wanted.isEmpty()) {
            claimed.remove(service);
        } else {
            claimed.put(service, List.copyOf(wanted.keySet()));
        }
        return names;
    }

    private boolean isUnchanged(
            List<FrontendAddress> before, long createdSeconds, Map<FrontendAddress, ServicePortName> wanted) {
        if (before.size() != wanted.size()) {
            return false;
        }
        for (Map.Entry<FrontendAddress, ServicePortName> each : wanted.entrySet()) {
            Claim claim = new Claim(createdSeconds, each.getValue());
            TreeSet<Claim> several = contested.get(each.getKey());
            if (!claim.equals(several == null ? owners.get(each.getKey()) : several.floor(claim))) {
                return false;
            }
        }
        return true;
    }

    private void claim(FrontendAddress address, Claim claim, Consumer<ServiceKey> rivals) {
        Claim owner = owners.putIfAbsent(address, claim);
        if (owner != null) {
            TreeSet<Claim> several = contested.computeIfAbsent(address, a -> new TreeSet<>());
            several.add(owner);
            several.add(claim);
            several.forEach(other -> rivals.accept(other.service()));
            owners.put(address, several.first());
        }
    }

    private Claim withdraw(ServiceKey service, FrontendAddress address, Consumer<ServiceKey> rivals) {
        TreeSet<Claim> several = contested.get(address);
        if (several == null) {
            return requireNonNull(owners.remove(address));
        }
        // The creation time may have changed, so the claim is identified by its Service.
        Claim claim = several.stream()
                .filter(each -> each.service().equals(service))
                .findFirst()
                .orElseThrow();
        several.remove(claim);
        several.forEach(other -> rivals.accept(other.service()));
        owners.put(address, several.first());
        if (several.size() == 1) {
            contested.remove(address);
        }
        return claim;
    }

    /** Whether one Service takes precedence over another when both claim an address or a NodePort. */
    static boolean isBefore(ServiceObject one, ServiceObject other) {
        int byAge = Long.compare(one.createdSeconds(), other.createdSeconds());
        return byAge != 0 ? byAge < 0 : one.service().compareTo(other.service()) < 0;
    }

    /** The service port that holds the address; null if no Service claims it. */
    @Nullable
    ServicePortName ownerOf(FrontendAddress address) {
        Claim owner = owners.get(address);
        return owner == null ? null : owner.name();
    }
}
