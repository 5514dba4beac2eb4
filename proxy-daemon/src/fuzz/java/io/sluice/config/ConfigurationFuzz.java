package io.sluice.config;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.MethodSource;

/** Any configuration is either rejected with messages of one line, or accepted and printed as an equal configuration. */
final class ConfigurationFuzz {
    private static final String HEADER = "apiVersion: sluice.io/v1alpha1\nkind: SluiceConfiguration\n";
    private static final String KUBE_PROXY = """
            apiVersion: kubeproxy.config.k8s.io/v1alpha1
            kind: KubeProxyConfiguration
            bindAddress: '::'
            hostnameOverride: Node
            clusterCIDR: 10.244.0.0/16,fd00:1::/64
            nodePortAddresses: [primary, 10.0.0.0/8]
            metricsBindAddress: 127.0.0.1
            iptables: {masqueradeAll: true}
            logging: {verbosity: 4}
            """;

    private final Path file;

    ConfigurationFuzz() throws IOException {
        file = Files.createTempFile("sluice", ".yaml");
        file.toFile().deleteOnExit();
    }

    static Stream<byte[]> seeds() throws ConfigurationException {
        String all = Configuration.load(null, Map.of(), Map.of()).print();
        return Stream.of(all, HEADER + "mapFrontends: ['10.96.0.0/12=127.96.0.0/12']\nfeed: a b\nloops: 3\n", KUBE_PROXY)
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("seeds")
    @FuzzTest(maxDuration = "3m")
    void isAcceptedOrRejected(byte[] bytes) throws IOException {
        Files.write(file, bytes);
        Configuration configuration;
        try {
            configuration = Configuration.load(file, Map.of(), Map.of());
        } catch (ConfigurationException e) {
            for (String line : e.problems()) {
                check(line.lines().count() == 1 && line.length() < 4_000, line);
            }
            check(!e.problems().isEmpty(), "rejected without a message");
            return;
        }
        Files.writeString(file, configuration.print());
        try {
            Configuration again = Configuration.load(file, Map.of(), Map.of());
            check(again.toMap().equals(configuration.toMap()), configuration.print());
        } catch (ConfigurationException e) {
            throw new AssertionError(configuration.print(), e);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
