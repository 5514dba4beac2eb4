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
import io.sluice.ops.BuildInfo;
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

/** {@code sluice run}: the daemon, until a signal ends it. */
@Command(
        name = "run",
        description = "Serves the Services of an API server or of a feed until it is told to stop.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice run --feed manifests/",
            "  sluice run --feed cluster.yaml --map-frontends 10.96.0.0/12=127.96.0.0/12",
            "  sluice run                                          the cluster kubectl talks to, or the pod's",
            "  sluice run --kubeconfig admin.conf --context prod",
            "  sluice run --master https://cp1:6443,https://cp2:6443 --token-file t --certificate-authority c.crt",
            "  sluice run --master http://127.0.0.1:8001           through 'kubectl proxy'",
            "  sluice run --config sluice.yaml --log-format json",
            "  sluice run --config sluice.yaml --print-config      what is in force, and who said so",
            "",
            "Each flag has a variable, SLUICE_ and its name in capitals (SLUICE_FEED, SLUICE_LOG_LEVEL), and a key in"
                    + " the file (feed, logLevel). A flag counts more than a variable, a variable more than the file;"
                    + " in the file, a SluiceConfiguration more than a KubeProxyConfiguration. Times are"
                    + " written 500ms, 30s, 5m or 1h.",
            "",
            "SIGTERM or Ctrl-C: not ready, no new connections, open ones may go on for the drain timeout, exit 0. A"
                    + " second signal ends it at once.",
            "Exit codes: 0 stopped as asked, 1 it cannot run here, 2 the command line or the configuration is wrong."
        })
final class RunCommand implements Callable<Integer> {
    private static final Logger log = LoggerFactory.getLogger(RunCommand.class);

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "A SluiceConfiguration (apiVersion sluice.io/v1alpha1), kube-proxy's KubeProxyConfiguration"
                    + " (kubeadm's config.conf), or one of each. Default: $SLUICE_CONFIG, or none.")
    private @Nullable Path config;

    @Option(
            names = "--print-config",
            description = "Print the settings in force as YAML, with where each comes from," + " and exit.")
    private boolean printConfig;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        Path file = config == null ? Main.pathFrom(spec, "SLUICE_CONFIG") : config;
        Configuration configuration = Main.configuration(spec.commandLine().getParseResult(), file);
        if (printConfig) {
            // Not in what is printed: that is a configuration again.
            Stream.of(
                            configuration.warnings(),
                            configuration.unusableHostName().stream().toList(),
                            configuration.hidden())
                    .flatMap(List::stream)
                    .forEach(line -> spec.commandLine().getErr().println("sluice: " + line));
            spec.commandLine().getOut().print(configuration.print());
            spec.commandLine().getOut().flush();
            return 0;
        }
        Settings settings = configuration.settings();
        List<String> api = configuration.saidBy(
                Setting.KUBECONFIG,
                Setting.CONTEXT,
                Setting.MASTER,
                Setting.TOKEN_FILE,
                Setting.CERTIFICATE_AUTHORITY,
                Setting.INSECURE_SKIP_TLS_VERIFY);
        if (settings.feed() != null && !api.isEmpty()) {
            throw new ConfigurationException(
                    List.of(configuration.value(Setting.FEED).place() + " and " + String.join(", ", api)
                            + " are both given; serve a feed, or what an API server says"));
        }
        Logging.configure(settings.logFormat(), settings.logLevel(), System.err);
        return serve(
                configuration,
                () -> Main.configuration(spec.commandLine().getParseResult(), file),
                settings.feed() == null ? access(settings) : null);
    }

    /** Reads the configuration again. */
    @FunctionalInterface
    private interface Reload {
        Configuration configuration() throws ConfigurationException;
    }

    private ApiAccess access(Settings settings) throws ConfigurationException {
        Map<String, String> environment = Main.environment(spec);
        Path home = Path.of(environment.getOrDefault("HOME", System.getProperty("user.home")));
        try {
            return ApiAccess.find(settings.api(), environment, home, ApiAccess.SERVICE_ACCOUNT);
        } catch (ApiAccessException e) {
            throw new ConfigurationException(List.of(String.valueOf(e.getMessage())));
        }
    }

    /** @param api to be watched; null for the feed of the settings */
    private static int serve(Configuration configuration, Reload rereading, @Nullable ApiAccess api)
            throws InterruptedException {
        // First of all: one that comes while the rest starts is answered once it has started.
        CountDownLatch signalled = new CountDownLatch(1);
        CountDownLatch asked = new CountDownLatch(1);
        AtomicReference<@Nullable Daemon> running = new AtomicReference<>();
        Signals.handle(
                signal -> {
                    log.info("{}: stopping; a second signal ends it at once", signal);
                    signalled.countDown();
                    asked.countDown();
                },
                () -> reload(rereading, running.get(), api == null));
        Settings settings = configuration.settings();
        log.info(
                "sluice {} on Java {}, {}",
                BuildInfo.version(),
                Runtime.version(),
                api == null ? "feed " + settings.feed() : "API server " + api);
        sayIfUnused(System.getProperty("sluice.cache"));
        configuration.warnings().forEach(log::warn);
        configuration.unusableHostName().ifPresent(log::warn);
        configuration.hidden().forEach(log::info);
        Daemon daemon;
        try {
            daemon = started(settings, api, configuration.toMap());
        } catch (IllegalStateException e) {
            log.error("cannot run here: {}", e.getMessage());
            return Main.PROBLEMS;
        }
        running.set(daemon);
        try (daemon) {
            daemon.whenSucceeded(asked::countDown);
            asked.await();
            daemon.drain();
        }
        if (daemon.isBeaten()) {
            return Main.PROBLEMS;
        }
        if (!settings.exitAfterHandOver() && signalled.getCount() > 0) {
            log.info("a successor serves; waiting for SIGTERM");
            signalled.await();
        }
        log.info("stopped");
        return 0;
    }

    /** What can change while it runs; everything else needs a restart. */
    private static void reload(Reload rereading, @Nullable Daemon daemon, boolean feed) {
        String rescanned = "";
        if (daemon != null && feed) {
            daemon.rescan();
            rescanned = ", the feed is looked at again";
        }
        try {
            String level = rereading.configuration().settings().logLevel();
            String before = Logging.level(level);
            log.info(
                    "SIGHUP: the log level is {}{}{}; other settings need a restart",
                    level,
                    before.equals(level) ? " as before" : " (was " + before + ")",
                    rescanned);
        } catch (ConfigurationException e) {
            log.warn("SIGHUP: the configuration is not reloaded{}: {}", rescanned, String.join("; ", e.problems()));
        }
    }

    /** The launcher gives the JVM the cache there is; the JVM takes it if it fits, which nothing but its memory tells. */
    private static void sayIfUnused(@Nullable String cache) {
        if (cache == null) {
            return;
        }
        try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            if (maps.noneMatch(line -> line.endsWith(" " + cache))) {
                log.info(
                        "{} is of another Java, other jars or other flags, and not used; 'sluice aot' makes it anew",
                        cache);
            }
        } catch (IOException | UncheckedIOException e) {
            log.debug("whether {} is used cannot be told", cache, e);
        }
    }

    /** @throws IllegalStateException where it cannot run, saying why; nothing is left of it then */
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
