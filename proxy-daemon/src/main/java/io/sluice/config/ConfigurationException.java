package io.sluice.config;

import io.sluice.document.Problem;
import java.util.List;

/** The configuration cannot be used. One line for each thing that is wrong with it. */
public final class ConfigurationException extends Exception {
    private static final long serialVersionUID = 1;

    private final transient List<String> problems;

    public ConfigurationException(List<String> problems) {
        super(String.join("\n", problems));
        this.problems = problems.stream().map(Problem::oneLine).toList();
    }

    public List<String> problems() {
        return problems;
    }
}
