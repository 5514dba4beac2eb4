package io.sluice.daemon;

import io.sluice.kube.Problem;
import java.util.List;

/** The configuration cannot be used. One line for each thing that is wrong with it. */
final class ConfigurationException extends Exception {
    private static final long serialVersionUID = 1;

    private final transient List<String> problems;

    ConfigurationException(List<String> problems) {
        super(String.join("\n", problems));
        this.problems = problems.stream().map(Problem::oneLine).toList();
    }

    List<String> problems() {
        return problems;
    }
}
