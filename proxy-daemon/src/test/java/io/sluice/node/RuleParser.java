package io.sluice.node;

import io.sluice.model.IpAddress;
import io.sluice.node.SimulatedHost.ListeningSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Parses one rule of the table for first packets. Fails on unknown statements, so that no part of a rule is ignored, and on
 * lookups with a key of another type than the set declares.
 */
final class RuleParser {
    private static final Pattern WORD = Pattern.compile("[{}()]|[^\\s{}()]+");
    private static final String NUMBER = "0x[0-9a-f]+|\\d+";

    private final FakeKernel.Table table;
    private final String text;
    private final List<String> words;
    private final List<Function<PassingPacket, RuleAction>> statements = new ArrayList<>();
    private int at;

    private RuleParser(FakeKernel.Table table, String text) {
        this.table = table;
        this.text = text;
        words = WORD.matcher(text).results().map(MatchResult::group).toList();
    }

    static Rule parse(FakeKernel.Table table, String text) {
        RuleParser parser = new RuleParser(table, text);
        while (parser.at < parser.words.size()) {
            parser.statement();
        }
        return new Rule(text, parser.statements);
    }

    private IllegalArgumentException error() {
        return new IllegalArgumentException("cannot parse '"
                + String.join(" ", words.subList(Math.min(at, words.size()), words.size())) + "': " + text);
    }

    private boolean isNext(String expected) {
        return at < words.size() && words.get(at).matches(expected);
    }

    private String next(String expected) {
        if (!isNext(expected)) {
            throw error();
        }
        return words.get(at++);
    }

    private boolean skip(String word) {
        boolean skipped = at < words.size() && words.get(at).equals(word);
        at += skipped ? 1 : 0;
        return skipped;
    }

    /** Requires a sequence of words. */
    private void expect(String sequence) {
        for (String word : sequence.split(" ")) {
            next(Pattern.quote(word));
        }
    }

    private void match(Predicate<PassingPacket> condition) {
        statements.add(packet -> RuleAction.matching(condition.test(packet)));
    }

    private void statement() {
        if (isNext("accept|drop|return")) {
            RuleAction verdict = RuleAction.verdict(words.get(at++));
            statements.add(packet -> verdict);
        } else if (isNext("goto|jump")) {
            RuleAction verdict = RuleAction.verdict(words.get(at++) + " " + next("[a-z][a-z0-9-]*"));
            if (!table.chains().containsKey(verdict.chain())) {
                throw new IllegalArgumentException("no chain " + verdict.chain() + ": " + text);
            }
            statements.add(packet -> verdict);
        } else if (skip("reject")) {
            reject();
        } else if (skip("notrack")) {
            // The simulated kernel has no connection tracking.
            statements.add(packet -> RuleAction.NEXT_STATEMENT);
        } else if (skip("dnat")) {
            // The address stays the same.
            String address = next("ip6?");
            expect("to " + address + " daddr");
            statements.add(packet -> RuleAction.ACCEPT);
        } else if (skip("tproxy")) {
            tproxy();
        } else if (isNext("update|add")) {
            update();
        } else if (skip("socket")) {
            socket();
        } else if (skip("fib")) {
            String which = next("saddr|daddr");
            expect("type local");
            match(packet -> packet.node.isLocal(which.equals("saddr") ? packet.source : packet.packet.destination()));
        } else if (isNext("iif|oif")) {
            networkInterface();
        } else if (skip("ct")) {
            connectionTracking();
        } else if (isNext("tcp") && words.get(at + 1).equals("flags")) {
            tcpFlags();
        } else if (isNext("meta") && words.get(at + 1).matches("mark|priority")) {
            at++;
            metadata();
        } else {
            comparison();
        }
    }

    private void reject() {
        expect("with");
        boolean reset = skip("tcp");
        expect(reset ? "reset" : "icmpx port-unreachable");
        statements.add(packet -> reset && !packet.isTcp() ? RuleAction.NEXT_RULE : RuleAction.REJECT);
    }

    /** Matches if there is a transparent listener. */
    private void tproxy() {
        if (skip("to")) {
            // This rule only makes the kernel reassemble fragments. No packet reaches it.
            next(":1");
            statements.add(packet -> {
                throw new IllegalStateException("this rule must be unreachable: " + text);
            });
            return;
        }
        boolean v6 = next("ip6?").equals("ip6");
        expect(v6 ? "to ip6 daddr:tcp dport ^" : "to ip daddr:tcp dport ^");
        int flipped = Integer.decode(next(NUMBER));
        match(packet -> {
            if (packet.isIpv6() != v6 || !packet.isTcp()) {
                return false;
            }
            ListeningSocket listener = packet.node.socket(
                    packet.packet.protocol(), packet.packet.destination(), packet.packet.destinationPort() ^ flipped);
            if (listener == null || !listener.isTransparent()) {
                return false;
            }
            packet.assigned = listener;
            return true;
        });
    }

    private void update() {
        at++;
        RuleSet set = set();
        expect("{");
        List<Field> key = key(set.types());
        if (skip("timeout")) {
            next("\\d+[sd]");
        }
        List<Field> value = skip(":") ? key(List.of(set.valueType())) : List.of();
        if (value.isEmpty() != set.valueType().isEmpty()) {
            throw error();
        }
        expect("}");
        match(packet -> {
            String newKey = value(key, packet);
            String newValue = value(value, packet);
            if (newKey == null || newValue == null) {
                return false;
            }
            set.elements().put(newKey, newValue);
            return true;
        });
    }

    private void socket() {
        boolean transparent = next("transparent|wildcard").equals("transparent");
        boolean expected = next("[01]").equals("1");
        if (isNext("notrack")) {
            // Decides only about connection tracking.
            return;
        }
        match(packet -> {
            if (packet.input == PassingPacket.NO_INTERFACE) {
                throw new IllegalStateException("on output, not known for the sending socket: " + text);
            }
            ListeningSocket socket = packet.socket();
            return socket != null
                    && expected
                            == (transparent
                                    ? socket.isTransparent()
                                    : socket.address().isUnspecified());
        });
    }

    private void networkInterface() {
        boolean input = next("iif|oif").equals("iif");
        boolean not = skip("!=");
        int index = next("lo|0").equals("lo") ? PassingPacket.LOOPBACK : PassingPacket.NO_INTERFACE;
        match(packet -> ((input ? packet.input : packet.output) == index) != not);
    }

    private void connectionTracking() {
        if (skip("status")) {
            // No connection is redirected by DNAT.
            expect("dnat");
            match(packet -> false);
        } else {
            expect("state new");
            match(packet -> true);
        }
    }

    private void tcpFlags() {
        expect("tcp flags & (");
        List<String> mask = new ArrayList<>();
        do {
            mask.add(next("fin|syn|rst|ack"));
        } while (skip("|"));
        expect(")");
        boolean equal = next("[!=]=").equals("==");
        String flag = next("fin|syn|rst|ack");
        // A first packet has only the SYN flag.
        match(packet -> packet.isTcp() && (mask.contains("syn") && flag.equals("syn")) == equal);
    }

    private void metadata() {
        if (skip("priority")) {
            String[] classId = next("[0-9a-f]+:[0-9a-f]+").split(":");
            int priority = Integer.parseInt(classId[0], 16) << 16 | Integer.parseInt(classId[1], 16);
            match(packet -> packet.packet.priority() == priority);
            return;
        }
        expect("mark");
        boolean set = skip("set");
        if (set) {
            expect("meta mark");
        }
        boolean or = next(set ? "and|or" : "and").equals("or");
        long operand = Long.decode(next(NUMBER));
        if (set) {
            statements.add(packet -> {
                packet.mark = or ? packet.mark | operand : packet.mark & operand;
                return RuleAction.NEXT_STATEMENT;
            });
        } else {
            boolean equal = next("[!=]=").equals("==");
            long value = Long.decode(next(NUMBER));
            match(packet -> ((packet.mark & operand) == value) == equal);
        }
    }

    /** Compares fields with a constant, or looks them up in a set or map. */
    private void comparison() {
        List<Field> key = fields();
        if (skip("vmap")) {
            RuleSet map = set(key, "verdict");
            statements.add(packet -> {
                String verdict = find(map, key, packet);
                return verdict == null ? RuleAction.NEXT_RULE : RuleAction.verdict(verdict);
            });
        } else if (skip("set")) {
            assignment(key);
        } else {
            boolean not = skip("!=");
            if (isNext("@.*")) {
                RuleSet set = set(key, "");
                match(packet -> value(key, packet) != null && (find(set, key, packet) == null) == not);
            } else {
                List<String> values = constants();
                match(packet -> {
                    String value = value(key, packet);
                    return value != null && values.contains(value) != not;
                });
            }
        }
    }

    /** Rules assign only the source address, from a map. */
    private void assignment(List<Field> target) {
        int end = at;
        if (!String.join(" ", words.subList(0, end)).matches("ip6? saddr set")) {
            throw error();
        }
        List<Field> key = fields();
        expect("map");
        RuleSet map = set(key, target.get(0).type());
        match(packet -> {
            String value = find(map, key, packet);
            if (value == null) {
                return false;
            }
            packet.source = Objects.requireNonNull(IpAddress.parse(value), value);
            return true;
        });
    }

    private List<String> constants() {
        if (!skip("{")) {
            return List.of(next("tcp|udp|ipv4|ipv6"));
        }
        List<String> values = new ArrayList<>();
        while (!skip("}")) {
            values.add(next("(tcp|udp|ipv4|ipv6),?").replace(",", ""));
        }
        return values;
    }

    private List<Field> fields() {
        List<Field> fields = new ArrayList<>();
        do {
            if (at >= words.size() || !Field.begins(words.get(at))) {
                throw error();
            }
            String word = words.get(at++);
            fields.add(Field.of(word.startsWith("@") ? word : word + " " + next("[a-z0-9]+")));
        } while (skip("."));
        return fields;
    }

    private List<Field> key(List<String> types) {
        List<Field> fields = fields();
        requireTypes(fields, types);
        return fields;
    }

    private void requireTypes(List<Field> fields, List<String> types) {
        if (!fields.stream().map(Field::type).toList().equals(types)) {
            throw new IllegalArgumentException("the set declares a key of " + types + ": " + text);
        }
    }

    private RuleSet set() {
        return RuleSet.of(table, next("@[a-z][a-z0-9-]*").substring(1));
    }

    private RuleSet set(List<Field> key, String valueType) {
        RuleSet set = set();
        requireTypes(key, set.types());
        if (!set.valueType().equals(valueType)) {
            throw error();
        }
        return set;
    }

    private static @Nullable String find(RuleSet set, List<Field> key, PassingPacket packet) {
        String value = value(key, packet);
        return value == null ? null : set.find(value);
    }

    /** The key in the format of set elements; null if the packet lacks one of the fields. */
    private static @Nullable String value(List<Field> fields, PassingPacket packet) {
        List<String> values = new ArrayList<>();
        for (Field field : fields) {
            String value = field.value().apply(packet);
            if (value == null) {
                return null;
            }
            values.add(value);
        }
        return String.join(" . ", values);
    }
}
