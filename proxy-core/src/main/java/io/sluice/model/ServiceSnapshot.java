package io.sluice.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * All service ports at one moment, and what this node is to them. Immutable; safe to hand to any thread.
 *
 * <p>A snapshot is a fixed array of small buckets. {@link #with} copies the array and the buckets it touches and shares
 * the rest, so a change costs the same at 100 services and at 50,000, and {@link SnapshotDiff} skips shared buckets.
 * Within one snapshot no frontend address occurs twice: whoever builds it settles conflicts first.
 */
public final class ServiceSnapshot {
    /** At 100,000 service ports a bucket holds 25; the array itself is 16 kB. */
    private static final int BUCKETS = 4096;

    private static final ServicePort[] NOTHING = {};

    private static final ServiceSnapshot EMPTY = empty0();

    private final ServicePort[][] buckets;
    private final int size;
    private final SnapshotContext context;

    private ServiceSnapshot(ServicePort[][] buckets, int size, SnapshotContext context) {
        this.buckets = buckets;
        this.size = size;
        this.context = context;
    }

    private static ServiceSnapshot empty0() {
        ServicePort[][] buckets = new ServicePort[BUCKETS][];
        Arrays.fill(buckets, NOTHING);
        return new ServiceSnapshot(buckets, 0, SnapshotContext.NONE);
    }

    public static ServiceSnapshot empty() {
        return EMPTY;
    }

    public static ServiceSnapshot of(ServicePort... servicePorts) {
        return EMPTY.with(List.of(servicePorts), List.of());
    }

    /**
     * A snapshot with some service ports replaced or added and others gone. A service port equal to the one already
     * here keeps the old instance; if nothing differs, this snapshot itself is returned.
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

    /** The same service ports with other surroundings; this snapshot itself if they are no others. */
    public ServiceSnapshot with(SnapshotContext others) {
        return others.equals(context) ? this : new ServiceSnapshot(buckets, size, others);
    }

    public SnapshotContext context() {
        return context;
    }

    public @Nullable ServicePort get(ServicePortName name) {
        ServicePort[] bucket = buckets[bucketOf(name)];
        int at = indexIn(bucket, name);
        return at < 0 ? null : bucket[at];
    }

    /** The number of service ports. */
    public int size() {
        return size;
    }

    public void forEach(Consumer<ServicePort> action) {
        for (ServicePort[] bucket : buckets) {
            for (ServicePort servicePort : bucket) {
                action.accept(servicePort);
            }
        }
    }

    /** All service ports, ordered by name: for printing, not for the data path. */
    public List<ServicePort> sorted() {
        List<ServicePort> all = new ArrayList<>(size);
        forEach(all::add);
        all.sort((a, b) -> {
            int byName = a.name().toString().compareTo(b.name().toString());
            return byName != 0 ? byName : a.name().protocol().compareTo(b.name().protocol());
        });
        return all;
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
            return NOTHING;
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
