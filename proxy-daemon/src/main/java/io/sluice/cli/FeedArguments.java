package io.sluice.cli;

import io.sluice.apiserver.ApiAccess;
import io.sluice.apiserver.KubernetesReflector;
import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.config.Settings;
import io.sluice.daemon.Logging;
import io.sluice.feed.FileReflector;
import io.sluice.feed.FileReflector.Reading;
import io.sluice.model.IpAddress;
import io.sluice.node.InterfaceAddresses;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/**
 * Arguments of the commands that evaluate Services without serving them: a feed, an API server or a running daemon, and
 * the settings that affect how the Services are interpreted.
 */
final class FeedArguments {
    private static final Path STANDARD_INPUT = Path.of("-");

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Configuration file of 'sluice run'. Only settings that this command also supports are used."
                    + " Default: $SLUICE_CONFIG.")
    private @Nullable Path config;

    @Option(
            names = "--live",
            description = "Use the state and the settings of the running daemon instead of a feed. --admin-socket or"
                    + " --server selects the daemon.")
    private boolean live;

    @Mixin
    private AdminOptions admin = new AdminOptions();

    /**
     * A feed or an API server that has not been read yet.
     *
     * @param source the feed or server, for messages
     * @param nodeMode whether node mode is configured, in which Service addresses need not be local
     */
    record FeedInput(String source, boolean nodeMode, FeedReader reader) {
        Reading read() throws CommandFailedException, InterruptedException {
            // The command itself prints the problems, so the log must not repeat them.
            Logging.configure("text", "error", System.err);
            try {
                return reader.read(InterfaceAddresses.ofThisMachine());
            } catch (IOException e) {
                throw CommandFailedException.of("cannot read the Services: " + e.getMessage());
            }
        }
    }

    /** Reads the objects once and evaluates them. */
    @FunctionalInterface
    private interface FeedReader {
        Reading read(List<IpAddress> interfaceAddresses) throws IOException, InterruptedException;
    }

    boolean isLive() {
        return live;
    }

    /**
     * Creates a client of the running daemon for {@code --live}.
     *
     * @throws ParameterException if a setting is given, which would have no effect
     */
    AdminClient liveClient(CommandSpec spec) {
        Setting.values().stream()
                .flatMap(setting -> setting.flags().stream())
                .filter(spec.commandLine().getParseResult()::hasMatchedOption)
                .findFirst()
                .ifPresent(flag -> {
                    throw new ParameterException(
                            spec.commandLine(),
                            "--live uses the settings of the running daemon and cannot be combined with " + flag);
                });
        return admin.reader(spec);
    }

    /**
     * Validates the arguments without reading the feed.
     *
     * @param purpose verb that completes the error message "nothing to ..." if no feed is set
     * @throws ConfigurationException if an argument is invalid, or there is no feed
     */
    FeedInput resolve(CommandSpec spec, String purpose) throws ConfigurationException {
        if (admin.isGiven()) {
            throw new ParameterException(spec.commandLine(), "--admin-socket and --server require --live");
        }
        Path file = config == null ? Main.pathFromEnvironment(spec, "SLUICE_CONFIG") : config;
        Configuration configuration = Main.configuration(spec.commandLine().getParseResult(), file);
        configuration.warnings().forEach(line -> spec.commandLine().getErr().println("sluice: " + line));
        Settings settings = configuration.settings();
        boolean nodeMode = settings.rules() != null;
        if (RunCommand.usesApiServer(configuration)) {
            ApiAccess api = RunCommand.access(spec, settings);
            return new FeedInput(
                    "API server",
                    nodeMode,
                    addresses -> FileReflector.evaluate(
                            KubernetesReflector.list(api, settings.buildOptions(), settings.endpointsApi()),
                            settings.buildOptions(),
                            addresses));
        }
        Path feed = settings.feed();
        if (feed == null) {
            throw new ConfigurationException(List.of("nothing to " + purpose
                    + ": set --feed to a file or directory of manifests, --kubeconfig or --master to an API server, or"
                    + " --live for the running daemon"));
        }
        if (feed.equals(STANDARD_INPUT)) {
            return new FeedInput(
                    "standard input",
                    nodeMode,
                    addresses -> FileReflector.read(Main.standardInput(spec), settings.buildOptions(), addresses));
        }
        // A dangling symbolic link counts as existing; it is reported with the problems in the feed.
        if (!Files.exists(feed, LinkOption.NOFOLLOW_LINKS)) {
            throw new ConfigurationException(List.of("--feed: '" + feed + "' does not exist"));
        }
        return new FeedInput(
                feed.toString(), nodeMode, addresses -> FileReflector.read(feed, settings.buildOptions(), addresses));
    }
}
