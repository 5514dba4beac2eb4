package io.sluice.cli;

import io.sluice.apiserver.ApiAccess;
import io.sluice.apiserver.ApiAccessException;
import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.config.Settings;
import io.sluice.daemon.Daemon;
import io.sluice.daemon.Logging;
import io.sluice.daemon.Signals;
import io.sluice.handover.HandoverMarker;
import io.sluice.ops.BuildInfo;
import io.sluice.ops.ConnectionLog;
import io.sluice.ops.LogLevel;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sluice run}: runs the daemon until it receives a signal. */
@Command(
        name = "run",
        description = "Serves the Services from an API server or a feed of manifests until SIGTERM.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  Serve manifests, or serve the saved objects of a cluster on loopback addresses:",
            "    sluice run --feed manifests/",
            "    sluice run --feed cluster.yaml --map-frontends 10.96.0.0/12=127.96.0.0/12",
            "  Serve the cluster that kubectl is configured for or, inside a pod, the cluster of that pod:",
            "    sluice run",
            "    sluice run --kubeconfig admin.conf --context prod",
            "  Connect to an API server directly, or through 'kubectl proxy':",
            "    sluice run --master https://cp1:6443,https://cp2:6443 --token-file t --certificate-authority ca",
            "    sluice run --master http://127.0.0.1:8001",
            "  Use a configuration file; print the effective settings and the source of each:",
            "    sluice run --config sluice.yaml --log-format json",
            "    sluice run --config sluice.yaml --print-config",
            "",
            "Each flag can also be set as an environment variable (--log-level: SLUICE_LOG_LEVEL) or as a key in the"
                    + " configuration file (logLevel). Flags override environment variables, and these override the"
                    + " file. In the file, a SluiceConfiguration overrides a KubeProxyConfiguration."
                    + " Durations have a unit: 500ms, 30s, 5m, 1h.",
            "",
            "On SIGTERM or Ctrl-C, Sluice reports not ready, stops accepting connections, waits up to the drain"
                    + " timeout for open ones to finish, and exits with code 0. A second signal makes it exit"
                    + " immediately. On SIGHUP, it reloads the log level and rescans the feed.",
            "Exit codes: 0 stopped by a signal, 1 cannot start on this machine or handover failed, 2 invalid command"
                    + " line or configuration."
        })
final class RunCommand implements Callable<Integer> {
    private static final Logger log = LoggerFactory.getLogger(RunCommand.class);

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Configuration file: a SluiceConfiguration (apiVersion sluice.io/v1alpha1), kube-proxy's"
                    + " KubeProxyConfiguration (kubeadm's config.conf), or one document of each. Default:"
                    + " $SLUICE_CONFIG.")
    private @Nullable Path config;

    @Option(
            names = "--print-config",
            description = "Print the effective settings as YAML, with the source of each, and exit.")
    private boolean printConfig;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        Path file = config == null ? Main.pathFromEnvironment(spec, "SLUICE_CONFIG") : config;
        Configuration configuration = Main.configuration(spec.commandLine().getParseResult(), file);
        if (printConfig) {
            // Printed to stderr, so that stdout is a valid configuration file.
            Stream.of(
                            configuration.warnings(),
                            configuration.invalidHostNameWarning().stream().toList(),
                            configuration.withoutEffect())
                    .flatMap(List::stream)
                    .forEach(line -> spec.commandLine().getErr().println("sluice: " + line));
            spec.commandLine().getOut().print(configuration.print());
            spec.commandLine().getOut().flush();
            return 0;
        }
        Settings settings = configuration.settings();
        requireOneSource(configuration, apiServerSources(configuration));
        requireConnectionLog(configuration);
        Logging.configure(settings.logFormat(), settings.logLevel(), System.err);
        return serve(
                configuration,
                command(),
                () -> Main.configuration(spec.commandLine().getParseResult(), file),
                settings.feed() == null ? access(spec, settings) : null);
    }

    /** The flags, variables and fields that configure an API server. */
    static List<String> apiServerSources(Configuration configuration) {
        return configuration.sourcesOf(
                Setting.KUBECONFIG,
                Setting.CONTEXT,
                Setting.MASTER,
                Setting.TOKEN_FILE,
                Setting.CERTIFICATE_AUTHORITY,
                Setting.INSECURE_SKIP_TLS_VERIFY);
    }

    /** @throws ConfigurationException if a feed is set, and so is an API server by any of these sources */
    static void requireOneSource(Configuration configuration, List<String> apiServer) throws ConfigurationException {
        if (configuration.settings().feed() != null && !apiServer.isEmpty()) {
            throw new ConfigurationException(
                    List.of(configuration.value(Setting.FEED).place() + " cannot be combined with "
                            + String.join(", ", apiServer) + "; use either a feed or an API server"));
        }
    }

    /** Opens the connection log once, so that an invalid path is reported like other invalid settings. */
    private static void requireConnectionLog(Configuration configuration) throws ConfigurationException {
        Path path = configuration.settings().connectionLog();
        if (path == null) {
            return;
        }
        try {
            ConnectionLog.requireWritable(path);
        } catch (IllegalStateException e) {
            String place = configuration.value(Setting.CONNECTION_LOG).place();
            throw new ConfigurationException(List.of(place + ": " + e.getMessage()));
        }
    }

    /** Loads the configuration again. */
    @FunctionalInterface
    private interface Reload {
        Configuration configuration() throws ConfigurationException;
    }

    /** Finds the API server that is configured. */
    static ApiAccess access(CommandSpec spec, Settings settings) throws ConfigurationException {
        Map<String, String> environment = Main.environment(spec);
        Path home = Path.of(environment.getOrDefault("HOME", System.getProperty("user.home")));
        try {
            return ApiAccess.find(settings.api(), environment, home, ApiAccess.SERVICE_ACCOUNT);
        } catch (ApiAccessException e) {
            throw new ConfigurationException(List.of(String.valueOf(e.getMessage())));
        }
    }

    /** Returns the command line of this process: the launcher and its arguments; empty without the launcher. */
    private List<String> command() {
        String launcher = System.getProperty("sluice.launcher");
        return launcher == null
                ? List.of()
                : Stream.concat(Stream.of(launcher), spec.root().commandLine().getParseResult().originalArgs().stream())
                        .toList();
    }

    /**
     * @param command command line of this process
     * @param api API server to watch; null to read the feed
     */
    private static int serve(Configuration configuration, List<String> command, Reload reload, @Nullable ApiAccess api)
            throws InterruptedException {
        // Must be first, so that a signal during startup is handled once the daemon has started.
        CountDownLatch signaled = new CountDownLatch(1);
        CountDownLatch stopRequested = new CountDownLatch(1);
        AtomicReference<@Nullable Daemon> running = new AtomicReference<>();
        Signals.handle(
                signal -> {
                    log.info("{}: stopping; a second signal makes Sluice exit immediately", signal);
                    signaled.countDown();
                    stopRequested.countDown();
                },
                () -> reload(reload, running.get(), api == null));
        Settings settings = configuration.settings();
        log.info(
                "sluice {} on Java {}, {}",
                BuildInfo.version(),
                Runtime.version(),
                api == null ? "feed " + settings.feed() : "API server " + api);
        logUnusedCache(System.getProperty("sluice.cache"));
        configuration.warnings().forEach(log::warn);
        configuration.invalidHostNameWarning().ifPresent(log::warn);
        configuration.withoutEffect().forEach(log::info);
        if (api != null && settings.rules() == null) {
            log.warn("bind mode: endpoints see the node's address, so NetworkPolicies that select clients do not apply"
                    + " to connections through Services; use --mode node to preserve client addresses");
        }
        HandoverMarker marker = marker(settings);
        Daemon daemon;
        try {
            if (marker != null && !marker.standBy(settings.readyFile(), stopRequested)) {
                log.info("stopped");
                return 0;
            }
            daemon = started(settings, api, configuration.toMap());
        } catch (IllegalStateException e) {
            log.error("cannot start: {}", e.getMessage());
            return Main.PROBLEMS;
        }
        daemon.upgrade().setCommand(command);
        running.set(daemon);
        try (daemon) {
            daemon.whenServedElsewhere(stopRequested::countDown);
            stopRequested.await();
            daemon.drain();
        }
        if (daemon.handoverFailed()) {
            return Main.PROBLEMS;
        }
        if (!settings.exitAfterHandover() && signaled.getCount() > 0 && !awaitSignalAfterHandover(marker, signaled)) {
            return Main.PROBLEMS;
        }
        log.info("stopped");
        return 0;
    }

    private static @Nullable HandoverMarker marker(Settings settings) {
        Path file = settings.handoverMarker();
        Path socket = settings.handoverSocket();
        return file == null || socket == null ? null : new HandoverMarker(file, socket);
    }

    /** Waits for a signal after a handover; returns false if the new process has disappeared before that. */
    private static boolean awaitSignalAfterHandover(@Nullable HandoverMarker marker, CountDownLatch signaled)
            throws InterruptedException {
        log.info("handed over to the new process; waiting for SIGTERM");
        if (marker == null) {
            signaled.await();
            return true;
        }
        if (!marker.awaitAbsence(signaled)) {
            return true;
        }
        log.error("the new process no longer listens on the handover socket; exiting, so that the container is"
                + " restarted and serves again");
        try {
            marker.remove();
        } catch (IllegalStateException e) {
            // The next process of the container removes it, or reports that it cannot.
            log.warn("{}", e.getMessage());
        }
        return false;
    }

    /** Reloads the log level and rescans the feed; all other settings need a restart. */
    private static void reload(Reload reload, @Nullable Daemon daemon, boolean feed) {
        String rescanned = "";
        if (daemon != null && feed) {
            daemon.rescan();
            rescanned = "rescanning the feed; ";
        }
        try {
            String level = reload.configuration().settings().logLevel();
            String before = LogLevel.set(level);
            log.info(
                    "SIGHUP: log level is {}{}; {}other settings need a restart",
                    level,
                    before.equals(level) ? " (unchanged)" : " (was " + before + ")",
                    rescanned);
        } catch (ConfigurationException e) {
            log.warn("SIGHUP: {}configuration not reloaded: {}", rescanned, String.join("; ", e.problems()));
        }
    }

    /**
     * Logs a message if the JVM does not use the class cache that the launcher passed to it. The JVM silently ignores a
     * cache that does not match; the only indication is that the file is not mapped into memory.
     */
    private static void logUnusedCache(@Nullable String cache) {
        if (cache == null) {
            return;
        }
        try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            if (maps.noneMatch(line -> line.endsWith(" " + cache))) {
                log.info(
                        "class cache '{}' is not used: it was created with another Java version, jars or flags; run"
                                + " 'sluice aot' to recreate it",
                        cache);
            }
        } catch (IOException | UncheckedIOException e) {
            log.debug("cannot determine whether class cache '{}' is used", cache, e);
        }
    }

    /** @throws IllegalStateException if the daemon cannot start; the message gives the reason, and all is closed */
    private static Daemon started(Settings settings, @Nullable ApiAccess api, Map<String, Object> configuration) {
        Daemon daemon = new Daemon(settings, configuration, api);
        try {
            daemon.start();
        } catch (IllegalStateException e) {
            daemon.close();
            throw e;
        }
        return daemon;
    }
}
