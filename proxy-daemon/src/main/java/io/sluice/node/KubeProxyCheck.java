package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.MissingNode;

/**
 * Checks during a graceful shutdown whether kube-proxy can serve new connections on this node: whether its rules
 * contain the ClusterIPs of a few Services with endpoints, and whether its health port returns 200.
 *
 * <p>kube-proxy is recognized in nftables mode, and in iptables mode if its iptables commands use nftables.
 */
final class KubeProxyCheck {
    private static final Logger log = LoggerFactory.getLogger(KubeProxyCheck.class);

    /** The default health port of kube-proxy. */
    static final InetSocketAddress HEALTH_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 10_256);

    /** Number of frontends of each family that kube-proxy's rules must contain. */
    private static final int SAMPLES = 3;

    private static final long POLL_MILLIS = 200;
    private static final int HEALTH_MILLIS = 1_000;
    private static final int MAX_STATUS_LINE = 256;
    private static final Pattern STATUS_LINE = Pattern.compile("HTTP/1\\.[01] (\\d{3})( [^\\n]*)?\\r?\\n");
    private static final String REJECTING = "rejecting new connections and flows while draining: {}";

    private final NodeKernel kernel;
    private final List<FrontendAddress> samples;
    private final InetSocketAddress healthPort;

    /**
     * What the kernel has of kube-proxy's rules.
     *
     * @param present whether there are any
     * @param missing what is missing; empty if kube-proxy serves all samples
     */
    private record Rules(boolean present, Optional<String> missing) {}

    KubeProxyCheck(NodeKernel kernel, ServiceSnapshot snapshot, InetSocketAddress healthPort) {
        this.kernel = kernel;
        this.samples = samples(snapshot);
        this.healthPort = healthPort;
    }

    private static List<FrontendAddress> samples(ServiceSnapshot snapshot) {
        List<FrontendAddress> samples = new ArrayList<>();
        for (ServicePort port : snapshot.sorted()) {
            for (Frontend frontend : port.frontends()) {
                Family family = frontend.address().address().family();
                if (frontend.kind() == Frontend.Kind.CLUSTER_IP
                        && frontend.pod().verdict() == Route.Verdict.FORWARD
                        && samples.stream()
                                        .filter(each -> each.address().family() == family)
                                        .count()
                                < SAMPLES) {
                    samples.add(frontend.address());
                }
            }
        }
        return samples;
    }

    /**
     * Waits until kube-proxy can serve new connections, and logs the decision. Returns false immediately if there are no
     * rules of kube-proxy.
     *
     * @param freePorts frees the ports that kube-proxy needs. It is called only if there are rules of kube-proxy
     */
    boolean await(Duration atMost, Runnable freePorts) throws InterruptedException {
        long deadline = System.nanoTime() + atMost.toNanos();
        Rules rules = rules();
        if (!rules.present()) {
            log.info(REJECTING, rules.missing().orElse(""));
            return false;
        }
        freePorts.run();
        while (true) {
            Optional<String> obstacle = rules.missing().isPresent() ? rules.missing() : unhealthy();
            if (obstacle.isEmpty()) {
                log.info(
                        "kube-proxy is healthy and has rules for {}: leaving new connections and flows to it", samples);
                return true;
            }
            if (deadline - System.nanoTime() < TimeUnit.MILLISECONDS.toNanos(POLL_MILLIS)) {
                log.warn(REJECTING, obstacle.get());
                return false;
            }
            TimeUnit.MILLISECONDS.sleep(POLL_MILLIS);
            rules = rules();
        }
    }

    private Rules rules() {
        if (samples.isEmpty()) {
            return new Rules(false, Optional.of("no ClusterIP with endpoints to look up in kube-proxy's rules"));
        }
        boolean present = false;
        Optional<FrontendAddress> missing = Optional.empty();
        for (Family family : PolicyRouting.families()) {
            Set<String> held = held(family);
            present |= !held.isEmpty();
            if (missing.isEmpty()) {
                missing = samples.stream()
                        .filter(sample -> sample.address().family() == family && !holds(held, sample))
                        .findFirst();
            }
        }
        return present
                ? new Rules(true, missing.map(sample -> "the rules of kube-proxy do not contain " + sample))
                : new Rules(false, Optional.of("nft lists no rules of kube-proxy on this node"));
    }

    private static boolean holds(Set<String> held, FrontendAddress sample) {
        String key = SetElements.key(sample.address(), sample.protocol().text(), sample.port());
        return held.contains(key) || held.contains(sample.address().toString());
    }

    /** Returns the set element keys of kube-proxy's nftables mode and the addresses of its iptables mode. */
    private Set<String> held(Family family) {
        String name = family == Family.IPV4 ? "ip" : "ip6";
        Set<String> held = new HashSet<>();
        for (JsonNode key : list("map", name, "kube-proxy", "service-ips").findValues("concat")) {
            if (key.size() == 3) {
                held.add(key.path(0).asString("") + " . " + key.path(1).asString("") + " . "
                        + key.path(2).asInt(0));
            }
        }
        for (JsonNode each : list("chain", name, "nat", "KUBE-SERVICES").path("nftables")) {
            address(each.path("rule").path("expr")).ifPresent(held::add);
        }
        return held;
    }

    private JsonNode list(String... what) {
        try {
            return kernel.list(what);
        } catch (IOException e) {
            log.debug("no {} of kube-proxy: {}", what[0], e.getMessage());
            return MissingNode.getInstance();
        }
    }

    /** Returns the destination address of a rule that jumps to the chain of a Service. */
    private static Optional<String> address(JsonNode expressions) {
        String address = "";
        boolean jumps = false;
        for (JsonNode each : expressions) {
            JsonNode match = each.path("match");
            if (match.path("left").path("payload").path("field").asString("").equals("daddr")) {
                address = match.path("right").asString("");
            }
            jumps |= each.path("jump").path("target").asString("").startsWith("KUBE-SVC-");
        }
        return jumps && IpAddress.parse(address) != null ? Optional.of(address) : Optional.empty();
    }

    /** Returns why the health port does not return 200; empty if it does. */
    private Optional<String> unhealthy() {
        String where = "its health port " + healthPort.getAddress().getHostAddress() + ":" + healthPort.getPort();
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(HEALTH_MILLIS);
        try (Socket socket = new Socket()) {
            socket.connect(healthPort, HEALTH_MILLIS);
            socket.getOutputStream().write("GET /healthz HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            Matcher line = STATUS_LINE.matcher(statusLine(socket, deadline));
            if (!line.matches()) {
                return Optional.of("kube-proxy has rules, but " + where + " does not respond with HTTP");
            }
            return line.group(1).equals("200")
                    ? Optional.empty()
                    : Optional.of("kube-proxy has rules, but " + where + " returns status " + line.group(1));
        } catch (IOException e) {
            return Optional.of("kube-proxy has rules, but " + where + " does not respond: " + e.getMessage());
        }
    }

    private static String statusLine(Socket socket, long deadline) throws IOException {
        InputStream in = socket.getInputStream();
        StringBuilder line = new StringBuilder();
        while (line.length() < MAX_STATUS_LINE && (line.isEmpty() || line.charAt(line.length() - 1) != '\n')) {
            // Each read gets only the remaining time, so that a slow response cannot extend it.
            long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
            socket.setSoTimeout((int) Math.max(1, left));
            int next = in.read();
            if (next < 0) {
                break;
            }
            line.append((char) next);
        }
        return line.toString();
    }
}
