package io.sluice.daemon;

import io.sluice.cli.Main;
import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.rules.BuildOptions;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.ParseResult;

/** Parses flags as the command line does, for tests of all packages. */
public final class Flags {
    private Flags() {}

    /** Returns the options of the snapshot builder for flags of {@code sluice trace}. */
    public static BuildOptions rules(List<String> flags) {
        return configuration("trace", flags).settings().buildOptions();
    }

    static Configuration configuration(String command, List<String> flags) {
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        List<String> words = new ArrayList<>(List.of(command));
        words.addAll(flags);
        ParseResult parsed = line.parseArgs(words.toArray(String[]::new)).subcommand();
        try {
            return Main.configuration(parsed, null);
        } catch (ConfigurationException e) {
            throw new IllegalArgumentException(String.join("\n", e.problems()), e);
        }
    }
}
