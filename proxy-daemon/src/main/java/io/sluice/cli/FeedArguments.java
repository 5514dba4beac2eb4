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

/** What the commands that look at a feed once have in common: where it is, and the settings that its rules depend on. */
final class FeedArguments {
    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "The configuration 'sluice run' has, for what it says of the rules. Default: $SLUICE_CONFIG, or"
                            + " none.")
    private @Nullable Path config;

    /**
     * A feed, and how it is to be read.
     *
     * @param nodeMode whether it is for a node, where the kernel delivers what is sent to any address
     */
    record FeedAndOptions(Path feed, BuildOptions options, boolean nodeMode) {
        Reading read() {
            // The command tells its problems; the log would say them twice.
            Logging.configure("text", "error", System.err);
            return FileReflector.read(feed, options, InterfaceAddresses.ofThisMachine());
        }
    }

    /**
     * What was given, checked as far as that is possible without reading the feed.
     *
     * @param purpose what the feed is for, as in "nothing to check"
     * @throws ConfigurationException if something is wrong with it, or there is no feed
     */
    FeedAndOptions given(CommandSpec spec, String purpose) throws ConfigurationException {
        Path file = config == null ? Main.pathFrom(spec, "SLUICE_CONFIG") : config;
        Configuration configuration = Main.configuration(spec.commandLine().getParseResult(), file);
        configuration.warnings().forEach(line -> spec.commandLine().getErr().println("sluice: " + line));
        Path feed = configuration.settings().feed();
        if (feed == null) {
            throw new ConfigurationException(
                    List.of("nothing to " + purpose + ": give --feed PATH, a file or a folder of manifests"));
        }
        // A link that leads nowhere is told as such, with the rest.
        if (!Files.exists(feed, LinkOption.NOFOLLOW_LINKS)) {
            throw new ConfigurationException(List.of("--feed: " + feed + " does not exist"));
        }
        return new FeedAndOptions(
                feed,
                configuration.settings().buildOptions(),
                configuration.settings().rules() != null);
    }
}
