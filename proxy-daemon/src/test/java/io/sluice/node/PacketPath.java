package io.sluice.node;

import static java.util.Objects.requireNonNull;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.node.SimulatedHost.ListeningSocket;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Simulates the path of a first packet through a node: the base chains of each hook by priority, policy routing, and the socket
 * that receives the packet. All rules that the kernel has loaded are parsed before the first packet.
 */
final class PacketPath {
    private static final Pattern HOOK =
            Pattern.compile("type (filter|route|nat) hook (output|prerouting) priority ([a-z]*)( [+-] )?(-?\\d+)?;"
                    + "( policy accept;)?");
    private static final Map<String, Integer> PRIORITIES = Map.of("", 0, "raw", -300, "mangle", -150, "dstnat", -100);

    private final FakeKernel kernel;
    private final SimulatedHost node;
    private final Map<String, List<Rule>> chains = new HashMap<>();
    private final List<BaseChain> bases = new ArrayList<>();

    private record BaseChain(String name, String hook, int priority) {}

    enum Verdict {
        /** Delivered to a socket of Sluice. */
        FORWARD,
        /** Rejected with a TCP reset or an ICMP error, by the rules or because the port is closed. */
        REJECTED,
        DROPPED,
        /** Delivered to the socket of another process, or routed on to another host. */
        PASSED
    }

    /**
     * The result for a packet.
     *
     * @param socket the socket that receives the packet, or null
     * @param source the final source address
     * @param matched the rules that matched
     */
    record Outcome(Verdict verdict, @Nullable ListeningSocket socket, IpAddress source, List<String> matched) {
        @Override
        public String toString() {
            return verdict + (socket == null ? "" : " " + socket) + "\n  " + String.join("\n  ", matched);
        }
    }

    PacketPath(FakeKernel kernel, SimulatedHost node) {
        this.kernel = kernel;
        this.node = node;
        FakeKernel.Table table = kernel.table();
        table.chains()
                .forEach((name, rules) -> chains.put(
                        name,
                        rules.stream()
                                .map(rule -> RuleParser.parse(table, rule))
                                .toList()));
        table.hooks().forEach((name, hook) -> bases.add(base(name, hook)));
        bases.sort(Comparator.comparingInt(BaseChain::priority));
    }

    private static BaseChain base(String name, String hook) {
        Matcher matcher = HOOK.matcher(hook);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("unknown hook: " + hook);
        }
        int priority = requireNonNull(PRIORITIES.get(matcher.group(3)), hook)
                + (matcher.group(5) == null ? 0 : Integer.parseInt(matcher.group(5)))
                        * (" - ".equals(matcher.group(4)) ? -1 : 1);
        return new BaseChain(name, matcher.group(2), priority);
    }

    Outcome send(Packet packet) {
        PassingPacket passing = new PassingPacket(packet, node);
        boolean local = node.isLocal(packet.destination());
        if (packet.ofNode()) {
            passing.output = local ? PassingPacket.LOOPBACK : PassingPacket.OTHER_INTERFACE;
            Verdict stopped = pass("output", passing);
            if (stopped != null) {
                return outcome(stopped, null, passing);
            }
            if (!local && !isDelivered(passing)) {
                return outcome(Verdict.PASSED, null, passing);
            }
        }
        passing.input = packet.ofNode() ? PassingPacket.LOOPBACK : PassingPacket.OTHER_INTERFACE;
        passing.output = PassingPacket.NO_INTERFACE;
        Verdict stopped = pass("prerouting", passing);
        if (stopped != null) {
            return outcome(stopped, null, passing);
        }
        if (!local && !isDelivered(passing)) {
            return outcome(Verdict.PASSED, null, passing);
        }
        ListeningSocket socket = passing.socket();
        if (socket == null) {
            // The kernel responds only for local addresses.
            return outcome(local ? Verdict.REJECTED : Verdict.DROPPED, null, passing);
        }
        return outcome(socket.frontend() == null ? Verdict.PASSED : Verdict.FORWARD, socket, passing);
    }

    private static Outcome outcome(Verdict verdict, @Nullable ListeningSocket socket, PassingPacket passing) {
        return new Outcome(verdict, socket, passing.source, List.copyOf(passing.matched));
    }

    /** Whether policy routing delivers the packet to this node, whatever its destination. */
    private boolean isDelivered(PassingPacket passing) {
        Family family = passing.packet.family();
        return kernel.rules(family).stream()
                .anyMatch(rule -> rule.matchesMark()
                        && (passing.mark & rule.mask()) == rule.mark()
                        && !kernel.routes(family, "table", rule.table()).isEmpty());
    }

    /** Null if the packet passes all base chains of the hook. */
    private @Nullable Verdict pass(String hook, PassingPacket passing) {
        for (BaseChain base : bases) {
            RuleAction action = base.hook().equals(hook) ? walk(base.name(), passing) : null;
            if (action != null && action.kind() != RuleAction.Kind.ACCEPT) {
                return action.kind() == RuleAction.Kind.DROP ? Verdict.DROPPED : Verdict.REJECTED;
            }
        }
        return null;
    }

    /** The verdict, or null if the chain ends without one. */
    private @Nullable RuleAction walk(String chain, PassingPacket passing) {
        for (Rule rule : requireNonNull(chains.get(chain), chain)) {
            RuleAction action = rule.apply(passing);
            if (action.kind() == RuleAction.Kind.NEXT_RULE) {
                continue;
            }
            passing.matched.add(chain + ": " + rule.text());
            switch (action.kind()) {
                case RETURN -> {
                    return null;
                }
                case GOTO -> {
                    return walk(action.chain(), passing);
                }
                case JUMP -> {
                    RuleAction verdict = walk(action.chain(), passing);
                    if (verdict != null) {
                        return verdict;
                    }
                }
                default -> {
                    return action;
                }
            }
        }
        return null;
    }
}
