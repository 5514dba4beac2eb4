package io.sluice.daemon;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the cases of {@code packet-table.txt}, and has the feed and the flags for their node. */
public final class PacketTable {
    private static final Path FILE = Path.of("src/test/resources/packet-table.txt");
    private static final String INTERFACE_DEPENDENT = "cases whose source address depends on interfaces";
    private static final Map<String, List<String>> SECTIONS = sections();

    /** IPv4 and IPv6 addresses by the name of a host or Service. */
    public static final Map<String, List<String>> ADDRESSES = byName("addresses");

    /** The flags of Sluice on the node. */
    public static final List<String> FLAGS = List.of(
            "--cluster-cidr=10.244.0.0/16,fd00:10::/32",
            "--service-cidr=10.96.0.0/16,fd00:96::/112",
            "--nodeport-addresses=primary,localhost");

    /** The source ranges of Service guarded. */
    public static final String GUARDED_SOURCES = "198.51.100.0/25, 2001:db8:51::/121";

    private PacketTable() {}

    private static Map<String, List<String>> sections() {
        Map<String, List<String>> sections = new LinkedHashMap<>();
        List<String> lines = new ArrayList<>();
        try {
            for (String line : Files.readAllLines(FILE)) {
                if (line.startsWith("=== ")) {
                    lines = new ArrayList<>();
                    sections.put(line.substring(4), lines);
                } else if (!line.isBlank() && !line.startsWith("#")) {
                    lines.add(line);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return sections;
    }

    private static List<String> section(String name) {
        return List.copyOf(requireNonNull(SECTIONS.get(name), name));
    }

    private static Map<String, List<String>> byName(String section) {
        Map<String, List<String>> byName = new LinkedHashMap<>();
        for (String line : section(section)) {
            String[] words = line.split(" ");
            byName.put(words[0], List.of(words).subList(1, words.length));
        }
        return byName;
    }

    /** IPv4 and IPv6 addresses of the node, in addition to those of its Node object, by interface name. */
    public static Map<String, List<String>> interfaces() {
        return byName("interfaces");
    }

    /** The processes of the node, as commands of {@link NodeProbe}. */
    public static List<String> processes() {
        return section("processes");
    }

    /** All cases over both protocols and in both families. */
    public static List<String> cells() {
        List<String> cases = new ArrayList<>(section("cases"));
        cases.addAll(section(INTERFACE_DEPENDENT));
        return NodeCases.eachWay(cases);
    }

    /** Whether the source address that the endpoint sees depends only on rules and policy, not on interfaces. */
    public static boolean decidesSource(String cell) {
        return section(INTERFACE_DEPENDENT).stream().noneMatch(cell::endsWith);
    }

    /** The manifests of the cluster. */
    public static String feed() {
        return NodeLab.NODES
                + service("local")
                        .type("LoadBalancer")
                        .nodePort(30080)
                        .spec("externalTrafficPolicy: Local, healthCheckNodePort: 31080")
                        .spec("loadBalancerSourceRanges: [198.51.100.0/25, '2001:db8:51::/121']")
                        .endpoints("pod", "far")
                + service("plain").nodePort(30081).endpoints("pod", "far")
                + service("inside")
                        .type("LoadBalancer")
                        .spec("internalTrafficPolicy: Local, externalTrafficPolicy: Local, healthCheckNodePort: 31087")
                        .endpoints("pod", "far")
                + service("internal").spec("internalTrafficPolicy: Local").endpoints("far")
                + service("empty").nodePort(30083)
                + service("remote")
                        .nodePort(30084)
                        .spec("externalTrafficPolicy: Local")
                        .endpoints("far")
                + service("bridged").endpoints("two")
                + service("hosted").slice(80, 8081, "node")
                + service("ingress")
                        .type("LoadBalancer")
                        .port("TCP", 8085, 30085)
                        .port("UDP", 8085, 30085)
                        .spec("loadBalancerSourceRanges: [198.51.100.0/25, '2001:db8:51::/121']")
                        .slice(8085, 8085, "node")
                + service("away").port("TCP", 8086, 0).port("UDP", 8086, 0).slice(8086, 8086, "pod", "far")
                + service("chain").slice(80, 80, "plain")
                + service("cache").endpoints("far")
                + service("large").slice(80, 8082, "pod")
                + service("open")
                        .type("LoadBalancer")
                        .spec("loadBalancerSourceRanges: [0.0.0.0/0, 198.51.100.0/24, 198.51.100.7/32, '::/0']")
                        .endpoints("pod")
                + service("shared")
                        .port("TCP", 8090, 0)
                        .port("UDP", 8090, 0)
                        .port("TCP", 8091, 0)
                        .slice(8090, 8080, "pod", "two")
                        .slice(8091, 8080, "pod")
                + service("guarded")
                        .type("LoadBalancer")
                        .nodePort(30086)
                        .policy("source-ranges", GUARDED_SOURCES)
                        .spec("loadBalancerSourceRanges: [198.51.100.0/24, '2001:db8:51::/64']")
                        .endpoints("pod")
                + service("sctp").port("SCTP", 80, 0)
                + service("closed").slice(80, 9, "pod").slice(80, 8080, "far");
    }

    private static ServiceManifest service(String name) {
        return new ServiceManifest(ADDRESSES, name);
    }
}
