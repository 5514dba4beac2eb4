package io.sluice.node;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How the evaluation of a rule continues after a statement.
 *
 * @param chain the target of GOTO and JUMP; otherwise empty
 */
record RuleAction(Kind kind, String chain) {
    private static final Pattern BRANCH = Pattern.compile("(goto|jump) ([a-z][a-z0-9-]*)");

    static final RuleAction NEXT_STATEMENT = new RuleAction(Kind.NEXT_STATEMENT, "");
    static final RuleAction NEXT_RULE = new RuleAction(Kind.NEXT_RULE, "");
    static final RuleAction REJECT = new RuleAction(Kind.REJECT, "");
    static final RuleAction ACCEPT = new RuleAction(Kind.ACCEPT, "");

    enum Kind {
        NEXT_STATEMENT,
        /** The statement does not match. */
        NEXT_RULE,
        /** The packet continues with the next base chain. */
        ACCEPT,
        DROP,
        REJECT,
        RETURN,
        GOTO,
        JUMP
    }

    static RuleAction matching(boolean matches) {
        return matches ? NEXT_STATEMENT : NEXT_RULE;
    }

    /** Parses a verdict of a rule or of an element in a verdict map. */
    static RuleAction verdict(String text) {
        Matcher branch = BRANCH.matcher(text);
        if (branch.matches()) {
            return new RuleAction(branch.group(1).equals("goto") ? Kind.GOTO : Kind.JUMP, branch.group(2));
        }
        return switch (text) {
            case "accept" -> ACCEPT;
            case "drop" -> new RuleAction(Kind.DROP, "");
            case "return" -> new RuleAction(Kind.RETURN, "");
            default -> throw new IllegalArgumentException("unknown verdict: " + text);
        };
    }
}
