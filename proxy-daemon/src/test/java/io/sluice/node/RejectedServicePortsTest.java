package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Tests rules that nft rejects, in a separate network namespace. */
final class RejectedServicePortsTest {
    @Test
    void reportsTheRejectedServiceAndLoadsTheRulesOfOthers() throws Exception {
        assumeThat(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                .as("needs root to create a network namespace")
                .isEqualTo(0);
        Path out = Files.createTempFile("rejected", ".txt");
        Process inside = new ProcessBuilder(
                        "unshare",
                        "--net",
                        "sh",
                        "-c",
                        "ip link set lo up && exec \"$0\" \"$@\"",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-ea",
                        "-cp",
                        System.getProperty("java.class.path"),
                        InNamespace.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        try {
            assertThat(inside.waitFor(60, TimeUnit.SECONDS)).isTrue();
            assertThat(inside.exitValue()).as(Files.readString(out)).isZero();
        } finally {
            inside.destroyForcibly();
            Files.delete(out);
        }
    }

    /** The program that runs in the namespace. A failure is an exception, and exit code 1. */
    static final class InNamespace {
        private static final ServicePort WEB = port("web", "2001:db8::1", "2001:db8:1::/48");

        private InNamespace() {}

        private static ServicePort port(String name, String address, String sources) {
            return new ServicePort(
                    new ServicePortName("test", name, "", Protocol.TCP),
                    SessionAffinity.NONE,
                    Set.of(),
                    List.of(new Frontend(
                            Frontend.Kind.LOAD_BALANCER,
                            new FrontendAddress(Protocol.TCP, ip(address), 80),
                            forward(),
                            forward(),
                            forward(),
                            List.of(Objects.requireNonNull(Cidr.parse(sources))))));
        }

        private static IpAddress ip(String text) {
            return Objects.requireNonNull(IpAddress.parse(text));
        }

        private static Route forward() {
            return Route.forward(List.of(new Endpoint(ip("2001:db8::9"), 8080)), Route.Source.NODE);
        }

        /** A service port that nft rejects: the same key of a map has two verdicts. */
        private static ServicePort invalid(String address) {
            ServicePort valid = port("bad", address, "2001:db8:1::/48");
            Frontend frontend = valid.frontends().get(0);
            Frontend other = new Frontend(
                    frontend.kind(), frontend.address(), Route.DROP, Route.DROP, Route.DROP, frontend.allowedSources());
            return new ServicePort(valid.name(), valid.affinity(), Set.of(), List.of(frontend, other));
        }

        private static String nft(String... command) throws IOException {
            Process process = new ProcessBuilder(command).start();
            return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }

        /** The line with the handle of the table, which differs if the table was replaced. */
        private static String table() throws IOException {
            return nft("nft", "-a", "list", "table", "inet", "sluice")
                    .lines()
                    .findFirst()
                    .orElseThrow();
        }

        public static void main(String[] args) throws Exception {
            BlockingQueue<Map<FrontendAddress, String>> rejections = new LinkedBlockingQueue<>();
            try (NodeRules rules = NodeRules.open(RuleOptions.DEFAULT, rejections::add)) {
                rules.apply(ServiceSnapshot.of(WEB, invalid("2001:db8::2")));
                Map<FrontendAddress, String> first = rejections.take();
                assertThat(first).containsOnlyKeys(new FrontendAddress(Protocol.TCP, ip("2001:db8::2"), 80));
                assertThat(first.values())
                        .allSatisfy(why -> assertThat(why).startsWith("the kernel rejects its rules: nft -f -: "));
                assertThat(nft("nft", "list", "set", "inet", "sluice", "frontend6"))
                        .contains("2001:db8::1 . tcp . 80")
                        .doesNotContain("2001:db8::2");

                rules.apply(ServiceSnapshot.of(WEB, invalid("2001:db8::3")));
                assertThat(rejections.take())
                        .containsOnlyKeys(new FrontendAddress(Protocol.TCP, ip("2001:db8::3"), 80));

                // Elements that the kernel rejected are not deleted, so the table is not replaced.
                String table = table();
                rules.apply(ServiceSnapshot.of(WEB, port("bad", "2001:db8::3", "2001:db8:1::/48")));
                assertThat(rejections.take()).isEmpty();
                assertThat(table()).isEqualTo(table);
                assertThat(nft("nft", "list", "set", "inet", "sluice", "frontend6"))
                        .contains("2001:db8::1 . tcp . 80", "2001:db8::3 . tcp . 80");

                // The check finds the table of a real kernel.
                rules.check();
                assertThat(table()).isEqualTo(table);

                rules.apply(ServiceSnapshot.of(WEB, invalid("2001:db8::3")));
                assertThat(rejections.take()).hasSize(1);
                table = table();
                rules.apply(ServiceSnapshot.of(WEB));
                assertThat(rejections.take()).isEmpty();
                assertThat(table()).isEqualTo(table);
                assertThat(rejections).isEmpty();
            }
            System.exit(0);
        }
    }
}
