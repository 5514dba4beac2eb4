package io.sluice.node;

import java.util.List;
import java.util.function.Function;

/** A rule as {@link RuleParser} reads it. */
record Rule(String text, List<Function<PassingPacket, RuleAction>> statements) {
    /** The action of the first statement that does not lead to the next one; the next rule if there is none. */
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
