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
import java.util.stream.Stream;
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
     * @param isStandardInput whether the manifests are read from standard input
     * @param settings the settings with which the manifests are evaluated
     */
    record FeedInput(String source, boolean isStandardInput, Settings settings, FeedReader reader) {
        /** Whether node mode is configured, in which Service addresses need not be local. */
        boolean nodeMode() {
            return settings.rules() != null;
        }

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
        // --admin-socket is also a setting of the daemon, but here it selects the daemon.
        Stream<String> settings = Setting.values().stream()
                .filter(setting -> setting != Setting.ADMIN_SOCKET)
                .flatMap(setting -> setting.flags().stream());
        Stream.concat(Stream.of("--config"), settings)
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
        if (usesApiServer(configuration)) {
            return apiServer(RunCommand.access(spec, settings), settings);
        }
        Path feed = settings.feed();
        if (feed == null) {
            throw new ConfigurationException(List.of("nothing to " + purpose
                    + ": set --feed to a file or directory of manifests, --kubeconfig or --master to an API server, or"
                    + " --live for the running daemon"));
        }
        return feed.equals(STANDARD_INPUT) ? standardInput(spec, settings) : files(feed, settings);
    }

    /**
     * Whether to list the objects of an API server. If flags set one of the two sources, the other one in the
     * configuration of the daemon has no effect, so that manifests can be checked with that configuration.
     */
    private static boolean usesApiServer(Configuration configuration) throws ConfigurationException {
        List<String> sources = RunCommand.apiServerSources(configuration);
        List<String> flags =
                sources.stream().filter(source -> source.startsWith("--")).toList();
        boolean feedIsFlag = configuration.value(Setting.FEED).origin().startsWith("--");
        if (!feedIsFlag && !flags.isEmpty()) {
            return true;
        }
        List<String> effective = feedIsFlag ? flags : sources;
        RunCommand.requireOneSource(configuration, effective);
        return !effective.isEmpty();
    }

    private static FeedInput apiServer(ApiAccess api, Settings settings) {
        return new FeedInput(
                "API server",
                false,
                settings,
                addresses -> FileReflector.evaluate(
                        KubernetesReflector.list(api, settings.buildOptions(), settings.endpointsApi()),
                        settings.buildOptions(),
                        addresses));
    }

    private static FeedInput standardInput(CommandSpec spec, Settings settings) {
        return new FeedInput(
                "standard input",
                true,
                settings,
                addresses -> FileReflector.read(Main.standardInput(spec), settings.buildOptions(), addresses));
    }

    private static FeedInput files(Path feed, Settings settings) throws ConfigurationException {
        // A dangling symbolic link counts as existing; it is reported with the problems in the feed.
        if (!Files.exists(feed, LinkOption.NOFOLLOW_LINKS)) {
            throw new ConfigurationException(List.of("--feed: '" + feed + "' does not exist"));
        }
        return new FeedInput(
                feed.toString(),
                false,
                settings,
                addresses -> FileReflector.read(feed, settings.buildOptions(), addresses));
    }
}
