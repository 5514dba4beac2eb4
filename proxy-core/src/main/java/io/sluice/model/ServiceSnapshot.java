package io.sluice.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The desired state at one moment: all service ports and their {@link SnapshotContext}. Immutable and thread-safe.
 *
 * <p>A snapshot is an array of small buckets, whose number is fixed. {@link #with} copies the array and the buckets
 * that change and shares the others. So a change costs the same with 100 Services as with 50,000, and {@link
 * SnapshotDiff} skips shared buckets. Within one snapshot no frontend address occurs twice, because conflicts are
 * resolved before the snapshot is built.
 */
public final class ServiceSnapshot {
    /** The number of buckets. With 100,000 service ports, each bucket holds about 25; the array takes 16 kB. */
    private static final int BUCKETS = 4096;

    private static final ServicePort[] EMPTY_BUCKET = {};

    private static final ServiceSnapshot EMPTY = newEmpty();

    private final ServicePort[][] buckets;
    private final int size;
    private final SnapshotContext context;

    /** Null until {@link #sorted} is called for the first time. */
    private volatile @Nullable List<ServicePort> sorted;

    private ServiceSnapshot(ServicePort[][] buckets, int size, SnapshotContext context) {
        this.buckets = buckets;
        this.size = size;
        this.context = context;
    }

    private static ServiceSnapshot newEmpty() {
        ServicePort[][] buckets = new ServicePort[BUCKETS][];
        Arrays.fill(buckets, EMPTY_BUCKET);
        return new ServiceSnapshot(buckets, 0, SnapshotContext.NONE);
    }

    /** Returns the snapshot without service ports and with an empty context. */
    public static ServiceSnapshot empty() {
        return EMPTY;
    }

    /** Returns a snapshot of these service ports with an empty context. */
    public static ServiceSnapshot of(ServicePort... servicePorts) {
        return EMPTY.with(List.of(servicePorts), List.of());
    }

    /**
     * Returns a snapshot with some service ports added or replaced and others removed. If a new service port equals the
     * current one, the current instance is kept. If nothing changes, this snapshot is returned.
     */
    public ServiceSnapshot with(Collection<ServicePort> put, Collection<ServicePortName> remove) {
        ServicePort[][] next = buckets.clone();
        int nextSize = size;
        for (ServicePortName name : remove) {
            int bucket = bucketOf(name);
            int at = indexIn(next[bucket], name);
            if (at >= 0) {
                next[bucket] = without(next[bucket], at);
                nextSize--;
            }
        }
        for (ServicePort servicePort : put) {
            int bucket = bucketOf(servicePort.name());
            int at = indexIn(next[bucket], servicePort.name());
            if (at < 0) {
                next[bucket] = Arrays.copyOf(next[bucket], next[bucket].length + 1);
                next[bucket][next[bucket].length - 1] = servicePort;
                nextSize++;
            } else if (!next[bucket][at].equals(servicePort)) {
                next[bucket] = next[bucket].clone();
                next[bucket][at] = servicePort;
            }
        }
        return Arrays.equals(next, buckets, (a, b) -> a == b ? 0 : 1)
                ? this
                : new ServiceSnapshot(next, nextSize, context);
    }

    /** Returns a snapshot of the same service ports with a new context; this snapshot if the contexts are equal. */
    public ServiceSnapshot with(SnapshotContext newContext) {
        return newContext.equals(context) ? this : new ServiceSnapshot(buckets, size, newContext);
    }

    /** The state that does not belong to a single service port. */
    public SnapshotContext context() {
        return context;
    }

    /** The service port with this name; null if the snapshot does not contain it. */
    public @Nullable ServicePort get(ServicePortName name) {
        ServicePort[] bucket = buckets[bucketOf(name)];
        int at = indexIn(bucket, name);
        return at < 0 ? null : bucket[at];
    }

    /** The number of service ports. */
    public int size() {
        return size;
    }

    /** Passes all service ports to an action, in no particular order. */
    public void forEach(Consumer<ServicePort> action) {
        for (ServicePort[] bucket : buckets) {
            for (ServicePort servicePort : bucket) {
                action.accept(servicePort);
            }
        }
    }

    /** All service ports in the order of {@link ServicePortName#sortKey}. Used for output, not in the data path. */
    public List<ServicePort> sorted() {
        List<ServicePort> known = sorted;
        if (known == null) {
            List<ServicePort> all = new ArrayList<>(size);
            forEach(all::add);
            known = sorted(all);
            sorted = known;
        }
        return known;
    }

    /** The service ports of a Service, given as {@code namespace/name}, sorted by name; empty if there is none. */
    public List<ServicePort> ofService(String service) {
        int slash = service.indexOf('/');
        List<ServicePort> ports = new ArrayList<>();
        forEach(port -> {
            ServicePortName name = port.name();
            // Comparing the parts creates no text for each service port.
            if (name.namespace().length() == slash
                    && service.startsWith(name.namespace())
                    && service.endsWith(name.service())
                    && service.length() == slash + 1 + name.service().length()) {
                ports.add(port);
            }
        });
        return sorted(ports);
    }

    private static List<ServicePort> sorted(Collection<ServicePort> ports) {
        TreeMap<String, ServicePort> byKey = new TreeMap<>();
        ports.forEach(port -> byKey.put(port.name().sortKey(), port));
        return List.copyOf(byKey.values());
    }

    ServicePort[][] buckets() {
        return buckets;
    }

    static int indexIn(ServicePort[] bucket, ServicePortName name) {
        for (int i = 0; i < bucket.length; i++) {
            if (bucket[i].name().equals(name)) {
                return i;
            }
        }
        return -1;
    }

    private static ServicePort[] without(ServicePort[] bucket, int at) {
        if (bucket.length == 1) {
            return EMPTY_BUCKET;
        }
        ServicePort[] rest = Arrays.copyOf(bucket, bucket.length - 1);
        System.arraycopy(bucket, at + 1, rest, at, rest.length - at);
        return rest;
    }

    private static int bucketOf(ServicePortName name) {
        int hash = name.hashCode() * 0x9E3779B9;
        return hash >>> 20;
    }
}
