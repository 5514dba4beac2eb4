package io.sluice.rules;

import java.lang.management.ManagementFactory;
import java.lang.ref.Reference;

/**
 * Measures the memory that object store, snapshot builder and snapshot retain, as the difference of the used heap after
 * full collections.
 */
final class RetainedBytes {
    private static final int SERVICES = 50_000;

    private RetainedBytes() {}

    public static void main(String[] args) {
        measure(1_000, BigCluster.ENDPOINTS_OF_EACH);
        long none = measure(SERVICES, 0);
        System.out.printf("%,d Services without endpoints: %,d bytes per Service%n", SERVICES, none / SERVICES);
        for (int endpoints : new int[] {BigCluster.ENDPOINTS_OF_EACH, 10 * BigCluster.ENDPOINTS_OF_EACH}) {
            int services = SERVICES * BigCluster.ENDPOINTS_OF_EACH / endpoints;
            long bytes = measure(services, endpoints);
            long count = (long) services * endpoints;
            System.out.printf(
                    "%,d Services with %d endpoints each: %,d bytes per endpoint, %,d without its share of the Service%n",
                    services, endpoints, bytes / count, (bytes - none * services / SERVICES) / count);
        }
    }

    private static long measure(int services, int endpoints) {
        long before = usedBytes();
        ProblemTracker problems = new ProblemTracker();
        ObjectStore store = new ObjectStore(problems);
        SnapshotBuilder builder = new SnapshotBuilder(BigCluster.options(), store, problems);
        try {
            store.replace("node", BigCluster.node(BigCluster.zone(0)));
            for (int i = 0; i < services; i++) {
                store.replace(BigCluster.source(i), BigCluster.state(i, endpoints));
            }
            builder.build();
            problems.publish((problem, appeared) -> {});
            return usedBytes() - before;
        } finally {
            // The builder references the store and the snapshot.
            Reference.reachabilityFence(builder);
        }
    }

    private static long usedBytes() {
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }
}
