package io.sluice.node;

import java.util.List;
import java.util.function.Function;

/** A rule that {@link RuleParser} has parsed. */
record Rule(String text, List<Function<PassingPacket, RuleAction>> statements) {
    /** The action of the first statement that does not continue with the next statement; NEXT_RULE if there is none. */
    RuleAction apply(PassingPacket packet) {
        for (Function<PassingPacket, RuleAction> statement : statements) {
            RuleAction action = statement.apply(packet);
            if (action.kind() != RuleAction.Kind.NEXT_STATEMENT) {
                return action;
            }
        }
        return RuleAction.NEXT_RULE;
    }
}
