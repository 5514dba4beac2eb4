package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
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
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Tests the transactions for snapshots, and the state of the kernel after them. */
final class NodeRulesTest {
    private static final Route FORWARD = forwardTo("198.19.0.1");

    private final FakeKernel kernel = new FakeKernel();
    private final List<Map<FrontendAddress, String>> rejections = new ArrayList<>();
    private final AtomicLong nanos = new AtomicLong();
    private final NodeRules rules = rules(RuleOptions.DEFAULT, kernel);

    private NodeRules rules(RuleOptions options, NodeKernel on) {
        return new NodeRules(options, rejections::add, on, new KernelFeatures(true, true, false), nanos::get);
    }

    private static IpAddress ip(String text) {
        return Objects.requireNonNull(IpAddress.parse(text));
    }

    private static Route forwardTo(String endpoint) {
        return Route.forward(List.of(new Endpoint(ip(endpoint), 8080)), Route.Source.NODE);
    }

    private static FrontendAddress address(int number) {
        return new FrontendAddress(Protocol.TCP, ip("198.18." + number / 250 + "." + number % 250), 80);
    }

    private static ServicePort service(int number, Route route) {
        return new ServicePort(
                new ServicePortName("test", "web-" + number, "", Protocol.TCP),
                SessionAffinity.NONE,
                Set.of(),
                List.of(Frontend.of(address(number), route)));
    }

    private static ServicePort service(int number) {
        return service(number, FORWARD);
    }

    private static ServiceSnapshot services(int first, int last) {
        return ServiceSnapshot.of(IntStream.rangeClosed(first, last)
                .mapToObj(number -> service(number))
                .toArray(ServicePort[]::new));
    }

    /** The state of an empty kernel after one snapshot. */
    private List<String> fresh(ServiceSnapshot snapshot) {
        FakeKernel other = new FakeKernel();
        rules(RuleOptions.DEFAULT, other).apply(snapshot);
        return other.dump();
    }

    private void rejectService(int number) {
        String key = address(number).address() + " . ";
        kernel.rejects = element -> element.key().startsWith(key);
    }

    private void advanceSeconds(long seconds) {
        nanos.addAndGet(TimeUnit.SECONDS.toNanos(seconds));
    }

    @Test
    void appliesTheFirstSnapshotInOneTransaction() throws IOException {
        // Left by an earlier process.
        kernel.load("""
                table inet sluice {
                  set frontend4 { type ipv4_addr . inet_proto . inet_service; }
                  chain old {
                    accept
                  }
                }
                add element inet sluice frontend4 { 198.18.0.99 . tcp . 80 }
                """);
        rules.apply(services(1, 3));
        assertThat(kernel.loaded).hasSize(2);
        assertThat(kernel.dump())
                .contains(
                        "table sluice",
                        "rule new-traffic: goto deliver-new",
                        "element frontend4: 198.18.0.1 . tcp . 80",
                        "element listener4: 198.18.0.1 . tcp . 28752",
                        "element from-pod4: 198.18.0.3 . tcp . 80 : goto new-traffic",
                        "element cluster-ip4: 198.18.0.2")
                .noneMatch(line -> line.contains("198.18.0.99") || line.startsWith("rule old"));
        for (Family family : PolicyRouting.families()) {
            assertThat(kernel.dump())
                    .contains(
                            family + " routing rule rule add fwmark 0x1000/0x1000 lookup 19019 priority 119",
                            family + " route in table 19019");
        }
    }

    @Test
    void replacesTheTableWhenAnotherProgramTurnsOnConnectionTracking() {
        rules.apply(services(1, 3));
        assertThat(kernel.table().hooks().get("prerouting")).contains("priority raw;");
        assertThat(kernel.table().chains()).doesNotContainKey("bypass-nat");
        rules.rejectNew();
        kernel.tracksConnections = true;
        rules.check();
        assertThat(kernel.table().hooks().get("prerouting")).contains("priority mangle;");
        assertThat(kernel.table().chains()).containsKey("bypass-nat");
        assertThat(kernel.dump())
                .contains("rule new-traffic: goto reject-new", "element frontend4: 198.18.0.1 . tcp . 80");
        int loaded = kernel.loaded.size();
        rules.check();
        assertThat(kernel.loaded).hasSize(loaded);
    }

    @Test
    void changesOneOfAThousandServicesInASmallScript() {
        ServiceSnapshot thousand = services(1, 1000);
        rules.apply(thousand);
        kernel.loaded.clear();
        ServiceSnapshot rejecting = thousand.with(List.of(service(700, Route.REJECT)), List.of());
        rules.apply(rejecting);
        assertThat(kernel.loaded).containsExactly("""
                        delete element inet sluice from-pod4 { 198.18.2.200 . tcp . 80 : goto new-traffic }
                        delete element inet sluice from-node4 { 198.18.2.200 . tcp . 80 : goto new-traffic }
                        delete element inet sluice from-external4 { 198.18.2.200 . tcp . 80 : goto new-traffic }
                        add element inet sluice from-pod4 { 198.18.2.200 . tcp . 80 : goto reject-packet }
                        add element inet sluice from-node4 { 198.18.2.200 . tcp . 80 : goto reject-packet }
                        add element inet sluice from-external4 { 198.18.2.200 . tcp . 80 : goto reject-packet }
                        """);
        assertThat(kernel.dump()).isEqualTo(fresh(rejecting));
    }

    @Test
    void doesNotChangeRulesIfOnlyEndpointsChange() {
        rules.apply(services(1, 3));
        kernel.loaded.clear();
        rules.apply(services(1, 3).with(List.of(service(2, forwardTo("198.19.0.2"))), List.of()));
        assertThat(kernel.loaded).isEmpty();
    }

    @Test
    void addsAndRemovesServicesInOneTransaction() {
        rules.apply(services(1, 3));
        kernel.loaded.clear();
        rules.apply(services(3, 5));
        assertThat(kernel.loaded).hasSize(1);
        assertThat(kernel.loaded.get(0)).doesNotContain("198.18.0.3 ");
        assertThat(kernel.dump()).isEqualTo(fresh(services(3, 5)));
    }

    @Test
    void numberOfRulesDoesNotDependOnTheNumberOfServices() {
        assertThat(countRules(fresh(services(1, 500))))
                .isEqualTo(countRules(fresh(services(1, 5))))
                .isGreaterThan(50);
    }

    private static long countRules(List<String> dump) {
        return dump.stream().filter(line -> line.startsWith("rule ")).count();
    }

    @Test
    void reportsARejectedServiceAndLoadsTheRulesOfOthers() {
        rejectService(3);
        rules.apply(services(1, 4));
        assertThat(rejections)
                .containsExactly(Map.of(address(3), "the kernel rejects its rules: rejected: 198.18.0.3 . tcp . 80"));
        List<String> expected =
                fresh(services(1, 4).with(List.of(), List.of(service(3).name())));
        // Packets to its ClusterIP are rejected.
        expected.add("element cluster-ip4: 198.18.0.3");
        assertThat(kernel.dump()).containsExactlyInAnyOrderElementsOf(expected);

        // A change of another Service does not touch it.
        kernel.loaded.clear();
        kernel.rejected.clear();
        rules.apply(services(1, 4).with(List.of(service(2, Route.REJECT)), List.of()));
        assertThat(kernel.loaded).hasSize(1);
        assertThat(kernel.loaded.get(0)).startsWith("delete element").doesNotContain("198.18.0.3");
        assertThat(kernel.rejected).isEmpty();
        assertThat(rejections).hasSize(1);
    }

    @Test
    void reportsARejectedChangeAndKeepsTheRulesOfOthers() {
        rules.apply(services(1, 3));
        rejectService(4);
        rules.apply(services(1, 5));
        assertThat(rejections).hasSize(1);
        assertThat(rejections.get(0)).containsOnlyKeys(address(4));
        assertThat(kernel.dump())
                .containsAll(fresh(services(1, 3)))
                .contains("element frontend4: 198.18.0.5 . tcp . 80")
                .doesNotContain("element frontend4: 198.18.0.4 . tcp . 80");
    }

    @Test
    void retriesARejectedServiceWithBackoff() {
        rejectService(3);
        rules.apply(services(1, 4));
        kernel.loaded.clear();
        kernel.rejected.clear();
        advanceSeconds(4);
        rules.check();
        assertThat(kernel.rejected).isEmpty();
        advanceSeconds(1);
        rules.check();
        assertThat(kernel.rejected).hasSize(1);

        kernel.rejects = element -> false;
        advanceSeconds(9);
        rules.check();
        assertThat(kernel.loaded).isEmpty();
        assertThat(rejections).hasSize(1);
        advanceSeconds(1);
        rules.check();
        assertThat(kernel.loaded).hasSize(1);
        assertThat(kernel.dump()).isEqualTo(fresh(services(1, 4)));
        assertThat(rejections).last().isEqualTo(Map.of());
    }

    @Test
    void restoresRemovedRules() throws IOException {
        rules.apply(services(1, 3));
        List<String> complete = kernel.dump();
        kernel.loaded.clear();
        rules.check();
        assertThat(kernel.loaded).isEmpty();

        kernel.load("delete table inet sluice\n");
        rules.check();
        assertThat(kernel.dump()).isEqualTo(complete);
        kernel.changeRouting(Family.IPV4, "rule", "del", "priority", "119", "lookup", "19019");
        rules.check();
        assertThat(kernel.dump()).isEqualTo(complete);
        kernel.changeRouting(Family.IPV4, "route", "flush", "table", "19019");
        rules.check();
        assertThat(kernel.dump()).isEqualTo(complete);
    }

    @Test
    void restoresRemovedRulesWithASnapshot() throws IOException {
        rules.apply(services(1, 3));
        kernel.load("delete table inet sluice\n");
        rules.apply(services(1, 4));
        assertThat(kernel.dump()).isEqualTo(fresh(services(1, 4)));
    }

    @Test
    void keepsRepliedFlowsWhenTheTableIsReplaced() throws IOException {
        rules.apply(services(1, 3));
        kernel.load("""
                add element inet sluice flow4 { 198.18.9.9 . 5000 . 198.18.0.1 . 53 }
                add element inet sluice used-node-port-address4 { 198.18.9.9 . 5000 . 30053 : 198.18.0.8 }
                """);
        List<String> before = kernel.dump();
        rules(RuleOptions.DEFAULT, kernel).apply(services(1, 3));
        assertThat(kernel.dump()).isEqualTo(before);
    }

    @Test
    void removesEverythingOnClose() {
        rules.apply(services(1, 3));
        rules.close();
        assertThat(kernel.dump()).isEmpty();
        assertThat(kernel.closed).isTrue();
        rules.apply(services(1, 3));
        rules.check();
        assertThat(kernel.dump()).isEmpty();
    }

    @Test
    void keepsTheRulesOnCloseIfConfigured() {
        NodeRules kept = rules(new RuleOptions(12, 19_019, 119, true, 30, 120), kernel);
        kept.apply(services(1, 3));
        kept.close();
        assertThat(kernel.dump()).isEqualTo(fresh(services(1, 3)));
    }

    @Test
    void retriesAFailedChangeWithoutCountingItTwice() throws IOException {
        rules.apply(services(1, 2));
        kernel.failsToListConnections = true;
        for (int attempt = 0; attempt < 2; attempt++) {
            assertThatThrownBy(() -> rules.apply(services(2, 3))).hasMessageContaining("ss: killed");
            rules.check();
        }
        assertThat(rejections).as("reported once and not revoked by the check").hasSize(1);
        assertThat(rejections.get(0)).containsOnlyKeys(address(3));
        kernel.failsToListConnections = false;
        rules.apply(services(2, 3));
        assertThat(rejections).hasSize(2).last().isEqualTo(Map.of());
        assertThat(kernel.dump()).isEqualTo(fresh(services(2, 3)));
    }
}
