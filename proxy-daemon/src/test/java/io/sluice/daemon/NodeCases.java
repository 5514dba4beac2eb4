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
 * Puts to the test what a line says. {@code tcp 4 one plain:80 pod=one far=one}: who asks from {@code one} over IPv4 at
 * port 80 of {@code plain} hears {@code pod}, which sees {@code one}, and {@code far}, which sees it too, and nobody else;
 * or {@code REFUSED}, or {@code DROP}. Names stand for addresses: those of the {@link NodeLab}'s members, and of the Services.
 */
final class NodeCases {
    /** Without an answer for this long a packet counts as dropped. */
    private static final int SILENCE_MILLIS = 500;
    /** Where an answer is expected, which may take its time on a busy machine. */
    private static final int ANSWER_MILLIS = 5_000;

    private final NodeLab lab;
    private final Map<String, List<String>> addresses;

    /** @param services the addresses that names stand for, by family */
    NodeCases(NodeLab lab, Map<String, List<String>> services) {
        this.lab = lab;
        this.addresses = new HashMap<>(lab.addresses());
        addresses.putAll(services);
    }

    /** By family. */
    List<String> addresses(String name) {
        return requireNonNull(addresses.get(name), name);
    }

    ServiceManifest service(String name) {
        return new ServiceManifest(addresses, name);
    }

    /** These members answer on a port, on their address of each family. */
    void serve(int port, String... names) throws IOException {
        tell("serve", port, names);
    }

    /** These give back what they are sent. */
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
        // In turn, so twice as often as there are endpoints shows each of them.
        int times = expected.contains("DROP") || expected.contains("REFUSED") ? 1 : 2 * expected.size();
        int patienceMillis = expected.contains("DROP") ? SILENCE_MILLIS : ANSWER_MILLIS;
        assertThat(new TreeSet<>(heard(line, bytes, times, patienceMillis)))
                .as(line)
                .isEqualTo(expected);
    }

    /**
     * Lines without protocol and family, over both protocols and in both families. Clients ask at the same time: some wait
     * for what does not come.
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
            // All of them to the end, whatever one says: who asks has only one question at a time.
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

    String heard(String line) throws IOException {
        return heard(line, 10, 1, ANSWER_MILLIS).get(0);
    }

    /** Who answers, and whom it saw, each time; silence is no surprise. */
    List<String> heard(String line, int bytes, int times) throws IOException {
        return heard(line, bytes, times, SILENCE_MILLIS);
    }

    private List<String> heard(String line, int bytes, int times, int patienceMillis) throws IOException {
        String[] words = line.split(" +");
        int family = words[1].equals("4") ? 0 : 1;
        String[] to = words[3].split(":");
        // These have several addresses of each family.
        String from = Set.of("out", "stranger", "far").contains(words[2])
                ? addresses(words[2]).get(family)
                : "-";
        String question = "ask " + words[0] + " " + from + " "
                + addresses(to[0]).get(family) + " " + to[1] + " " + bytes + " " + patienceMillis;
        List<String> heard = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            heard.add(symbols(lab.tell(namespace(words[2]), question)));
        }
        return heard;
    }

    private static String namespace(String client) {
        return client.equals("stranger") ? "out" : client;
    }

    /** {@code pod=one} for {@code pod 10.244.2.11}. */
    String symbols(String answer) {
        String[] words = answer.split(" ");
        if (words.length != 2) {
            return answer;
        }
        String peer = words[1].replaceAll("(^|:)0(:0)+(:|$)", "::").replaceAll("%.*", "");
        // Each node has the same of these, for its own pods.
        boolean ofLink = peer.startsWith("fe80:") || peer.startsWith("169.254.");
        String owner = ofLink ? words[0].endsWith("2") ? "node2" : "node" : lab.owner(peer);
        return words[0] + "=" + owner;
    }
}
