package io.sluice.daemon;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

/**
 * Checks cases with real packets. In {@code tcp 4 one plain:80 pod=one far=one}, the client {@code one} connects over TCP and
 * IPv4 to port 80 of the Service {@code plain}, and only the endpoints {@code pod} and {@code far} respond, which both see the
 * address of {@code one}. Instead of endpoints a case may have {@code REFUSED}, {@code RESET} or {@code DROP}. Names stand for
 * the addresses of Services, and of hosts in the {@link NodeLab}.
 *
 * <p>With {@code tcp:198.18.1.9}, the client sends a PROXY protocol header first. {@code pod=node,one} is an endpoint that sees
 * the address of {@code node} and gets a header with the address of {@code one}.
 */
final class NodeCases {
    /** A packet without a response counts as dropped after this time. */
    private static final int SILENCE_MILLIS = 200;
    /** The timeout if a response is expected; long enough for a busy machine. */
    private static final int ANSWER_MILLIS = 5_000;

    /** A name and one or two addresses. */
    private static final String RESPONSE = "\\w+( [0-9a-f.:]+(%\\w+)?){1,2}";

    private final NodeLab lab;
    private final Map<String, List<String>> addresses;

    /** @param services IPv4 and IPv6 addresses by name */
    NodeCases(NodeLab lab, Map<String, List<String>> services) {
        this.lab = lab;
        this.addresses = new HashMap<>(lab.addresses());
        addresses.putAll(services);
    }

    /** The IPv4 and IPv6 address of a host or Service. */
    List<String> addresses(String name) {
        return requireNonNull(addresses.get(name), name);
    }

    ServiceManifest service(String name) {
        return new ServiceManifest(addresses, name);
    }

    /** Starts servers in namespaces that send their name and the client's address, in both families. */
    void serve(int port, String... names) throws IOException {
        tell("serve", port, names);
    }

    /** Starts echo servers in namespaces, in both families. */
    void echo(int port, String... names) throws IOException {
        tell("echo", port, names);
    }

    private void tell(String command, int port, String... names) throws IOException {
        for (String name : names) {
            for (String address : addresses(name)) {
                assertThat(lab.tell(name.replaceFirst("-.*", ""), command + " " + address + " " + port))
                        .isEqualTo("ok");
            }
        }
    }

    void check(String line) throws IOException {
        check(line, 10);
    }

    void check(String line, int bytes) throws IOException {
        String[] words = line.split(" +");
        Set<String> expected = new TreeSet<>(Arrays.asList(words).subList(4, words.length));
        // Round robin: after twice as many requests as endpoints, each endpoint has responded.
        int times = expected.contains("DROP") || expected.contains("REFUSED") ? 1 : 2 * expected.size();
        int timeoutMillis = expected.contains("DROP") ? SILENCE_MILLIS : ANSWER_MILLIS;
        assertThat(new TreeSet<>(responses(line, bytes, times, timeoutMillis)))
                .as(line)
                .isEqualTo(expected);
    }

    /**
     * Checks cases without protocol and family over both protocols and in both families. Clients run in parallel, because some
     * wait for a timeout.
     */
    void checkAll(String... lines) {
        Map<String, List<String>> byClient =
                Arrays.stream(lines).collect(Collectors.groupingBy(line -> namespace(line.split(" +")[0])));
        List<Callable<Boolean>> checks = new ArrayList<>();
        byClient.values()
                .forEach(some -> checks.add(() -> {
                    for (String line : eachWay(some)) {
                        check(line);
                    }
                    return true;
                }));
        ExecutorService clients = Executors.newFixedThreadPool(checks.size());
        try {
            // Wait for all clients even if one fails, because a probe handles only one request at a time.
            for (Future<Boolean> each : clients.invokeAll(checks)) {
                each.get();
            }
        } catch (ExecutionException e) {
            throw new AssertionError(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError(e);
        } finally {
            clients.shutdown();
        }
    }

    static List<String> eachWay(List<String> lines) {
        List<String> all = new ArrayList<>();
        for (String way : List.of("tcp 4 ", "tcp 6 ", "udp 4 ", "udp 6 ")) {
            lines.forEach(line -> all.add(way + line));
        }
        return all;
    }

    String responses(String line) throws IOException {
        return responses(line, 10, 1, ANSWER_MILLIS).get(0);
    }

    /** The response to each of some requests, where a timeout is likely. */
    List<String> responses(String line, int bytes, int times) throws IOException {
        return responses(line, bytes, times, SILENCE_MILLIS);
    }

    private List<String> responses(String line, int bytes, int times, int timeoutMillis) throws IOException {
        String[] words = line.split(" +");
        int family = words[1].equals("4") ? 0 : 1;
        String[] to = words[3].split(":");
        // These hosts have several addresses in each family.
        String from = Set.of("out", "stranger", "far").contains(words[2])
                ? addresses(words[2]).get(family)
                : "-";
        String request = "ask " + words[0] + " " + from + " " + addresses(to[0]).get(family) + " " + to[1] + " " + bytes
                + " " + timeoutMillis;
        List<String> responses = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            responses.add(symbols(lab.tell(namespace(words[2]), request)));
        }
        return responses;
    }

    private static String namespace(String client) {
        return client.equals("stranger") ? "out" : client;
    }

    /** Starts servers that read a PROXY protocol header and also send the address in it, in both families. */
    void readHeaders(int port, String... names) throws IOException {
        tell("headers", port, names);
    }

    /** Replaces the addresses in a response by names: {@code pod=one} for {@code pod 10.244.2.11}. */
    String symbols(String answer) {
        String[] words = answer.split(" ");
        if (!answer.matches(RESPONSE)) {
            return answer;
        }
        return words[0] + "=" + symbol(words[0], words[1])
                + (words.length == 2 ? "" : "," + symbol(words[0], words[2]));
    }

    private String symbol(String endpoint, String address) {
        String peer = address.replaceAll("(^|:)0(:0)+(:|$)", "::").replaceAll("%.*", "");
        // All nodes have the same link-local addresses, for their own pods.
        boolean ofLink = peer.startsWith("fe80:") || peer.startsWith("169.254.");
        return ofLink ? endpoint.endsWith("2") ? "node2" : "node" : lab.owner(peer);
    }
}
