package io.sluice.config;

import io.sluice.document.Problem;
import java.util.List;

/** Thrown if the configuration is invalid. Contains all errors, one line each. */
public final class ConfigurationException extends Exception {
    private static final long serialVersionUID = 1;

    private final transient List<String> problems;

    /** Creates an exception with the given errors, one line each. */
    public ConfigurationException(List<String> problems) {
        super(String.join("\n", problems));
        this.problems = problems.stream().map(Problem::oneLine).toList();
    }

    /** The errors, one line each, with control characters escaped. */
    public List<String> problems() {
        return problems;
    }
}
