package io.sluice.cli;

import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.daemon.Logging;
import io.sluice.feed.FileReflector;
import io.sluice.feed.FileReflector.Reading;
import io.sluice.node.InterfaceAddresses;
import io.sluice.rules.BuildOptions;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/** Arguments of the commands that read a feed once: the feed, and the settings that affect how it is interpreted. */
final class FeedArguments {
    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Configuration file of 'sluice run'. Only settings that this command also supports are used."
                    + " Default: $SLUICE_CONFIG.")
    private @Nullable Path config;

    /**
     * A feed and the options for reading it.
     *
     * @param nodeMode whether node mode is configured, in which Service addresses need not be local
     */
    record FeedAndOptions(Path feed, BuildOptions options, boolean nodeMode) {
        Reading read() {
            // The command itself prints the problems, so the log must not repeat them.
            Logging.configure("text", "error", System.err);
            return FileReflector.read(feed, options, InterfaceAddresses.ofThisMachine());
        }
    }

    /**
     * Validates the arguments without reading the feed.
     *
     * @param purpose verb that completes the error message "nothing to ..." if no feed is set
     * @throws ConfigurationException if an argument is invalid, or there is no feed
     */
    FeedAndOptions resolve(CommandSpec spec, String purpose) throws ConfigurationException {
        Path file = config == null ? Main.pathFromEnvironment(spec, "SLUICE_CONFIG") : config;
        Configuration configuration = Main.configuration(spec.commandLine().getParseResult(), file);
        configuration.warnings().forEach(line -> spec.commandLine().getErr().println("sluice: " + line));
        Path feed = configuration.settings().feed();
        if (feed == null) {
            throw new ConfigurationException(
                    List.of("nothing to " + purpose + ": set --feed to a file or directory of manifests"));
        }
        // A dangling symbolic link counts as existing; it is reported with the problems in the feed.
        if (!Files.exists(feed, LinkOption.NOFOLLOW_LINKS)) {
            throw new ConfigurationException(List.of("--feed: '" + feed + "' does not exist"));
        }
        return new FeedAndOptions(
                feed,
                configuration.settings().buildOptions(),
                configuration.settings().rules() != null);
    }
}
