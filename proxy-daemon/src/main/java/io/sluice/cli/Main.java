package io.sluice.cli;

import io.netty.util.Version;
import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.daemon.Logging;
import io.sluice.ops.BuildInfo;
import io.sluice.text.Suggestion;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** The command line: what can be asked for, and how mistakes in asking are answered. */
@Command(
        name = "sluice",
        versionProvider = Main.Versions.class,
        description = {
            "Forwards TCP and UDP for Kubernetes Services, as kube-proxy does, from user space: it reads Services and"
                    + " EndpointSlices, listens on every Service address and spreads connections over the endpoints."
        },
        subcommands = {RunCommand.class, CheckCommand.class, TraceCommand.class, DemoCommand.class},
        synopsisSubcommandLabel = "COMMAND",
        commandListHeading = "%nCommands:%n",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice demo                                  see it work, without a cluster",
            "  kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml",
            "  sluice check --feed cluster.yaml             what would be served, and what is wrong with it",
            "  sluice trace --feed cluster.yaml --from 10.244.1.5 --to 10.96.0.10:53/udp      where a packet goes, and why",
            "  sluice run --feed cluster.yaml --map-frontends 10.96.0.0/12=127.96.0.0/12",
            "",
            "'sluice aot', once, makes later starts faster: a cache beside lib that fits this Java.",
            "'sluice COMMAND --help' explains a command and its defaults.",
            "Exit codes: 0 done, 1 it failed or found problems, 2 the command line or the configuration is wrong."
        })
public final class Main implements Runnable {
    static final int PROBLEMS = 1;
    static final int USAGE = 2;

    @CommandLine.Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    /** The environment, given once so that tests have their own. */
    private final Map<String, String> environment;

    /** Likewise. */
    private final InputStream standardInput;

    Main(Map<String, String> environment, InputStream standardInput) {
        this.environment = environment;
        this.standardInput = standardInput;
    }

    public static void main(String[] args) {
        // Until a command says otherwise: libraries have something to say only if something is wrong.
        Logging.configure("text", "warn", System.err);
        System.exit(commandLine(System.getenv(), System.in).execute(args));
    }

    public static CommandLine commandLine(Map<String, String> environment, InputStream standardInput) {
        CommandLine line = new CommandLine(new Main(environment, standardInput));
        addSettings(line, "run", Setting.values());
        List<Setting<?>> rules = List.of(
                Setting.FEED,
                Setting.MODE,
                Setting.NODE_NAME,
                Setting.NODE_IP,
                Setting.CLUSTER_CIDR,
                Setting.DETECT_LOCAL_MODE,
                Setting.SERVICE_CIDR,
                Setting.NODEPORT_ADDRESSES,
                Setting.MASQUERADE_ALL,
                Setting.SERVICE_PROXY_NAME,
                Setting.MAP_FRONTENDS);
        addSettings(line, "check", rules);
        addSettings(line, "trace", rules);
        for (CommandLine each : line.getSubcommands().values()) {
            each.setUsageHelpWidth(100);
            each.getCommandSpec().addOption(helpOption());
        }
        line.getCommandSpec().addOption(helpOption());
        line.getCommandSpec()
                .addOption(OptionSpec.builder("-V", "--version")
                        .versionHelp(true)
                        .description("Print the versions of Sluice, Java and Netty.")
                        .build());
        return line.setUsageHelpWidth(100)
                .setParameterExceptionHandler(Main::usageError)
                .setExecutionExceptionHandler(Main::failed);
    }

    private static OptionSpec helpOption() {
        return OptionSpec.builder("-h", "--help")
                .usageHelp(true)
                .description("Explain this command.")
                .build();
    }

    private static void addSettings(CommandLine line, String command, List<Setting<?>> settings) {
        CommandSpec spec =
                Objects.requireNonNull(line.getSubcommands().get(command)).getCommandSpec();
        for (Setting<?> setting : settings) {
            OptionSpec.Builder option = OptionSpec.builder(setting.flags().toArray(String[]::new))
                    .paramLabel(setting.label())
                    .description(setting.description().replace("%", "%%") + defaultOf(setting));
            // Checked by Setting, not by picocli, so that a flag and a line of the file are told the same.
            if (setting.isList()) {
                option.arity("1").type(List.class).auxiliaryTypes(String.class).splitRegex(",");
            } else if (setting.isBoolean()) {
                option.arity("0..1").fallbackValue("true").type(String.class);
            } else {
                option.arity("1").type(String.class);
            }
            spec.addOption(option.build());
        }
    }

    private static String defaultOf(Setting<?> setting) {
        if (setting.equals(Setting.NODE_NAME)) {
            return " Default: the host name.";
        }
        if (setting.equals(Setting.LOOPS)) {
            return " Default: one for each processor, at most 8.";
        }
        return setting.defaultText().isEmpty() ? "" : " Default: " + setting.defaultText() + ".";
    }

    static Map<String, String> environment(CommandSpec spec) {
        return ((Main) spec.root().userObject()).environment;
    }

    /** The path in a variable of the environment; null if it is not set. */
    static @Nullable Path pathFrom(CommandSpec spec, String variable) {
        String text = environment(spec).get(variable);
        return text == null || text.isBlank() ? null : Path.of(text);
    }

    static InputStream standardInput(CommandSpec spec) {
        return ((Main) spec.root().userObject()).standardInput;
    }

    /** What is in force with the flags that were given. */
    public static Configuration configuration(ParseResult parsed, @Nullable Path file) throws ConfigurationException {
        Map<Setting<?>, List<String>> flags = new TreeMap<>();
        for (Setting<?> setting : Setting.values()) {
            String flag = setting.flags().get(0);
            if (!parsed.hasMatchedOption(flag)) {
                continue;
            }
            Object value = parsed.matchedOptionValue(flag, (Object) "");
            flags.put(
                    setting,
                    value instanceof List<?> list
                            ? list.stream().map(String::valueOf).toList()
                            : List.of(String.valueOf(value)));
        }
        Main main = (Main) parsed.commandSpec().root().userObject();
        return Configuration.load(file, main.environment, flags);
    }

    /** Without a command there is nothing to do but to explain. */
    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "a command is needed: run, check, trace or demo");
    }

    private static int usageError(ParameterException e, String[] args) {
        CommandLine line = e.getCommandLine();
        line.getErr().println("sluice: " + oneLine(e));
        line.getErr().println("Try '" + line.getCommandSpec().qualifiedName() + " --help'.");
        return USAGE;
    }

    private static String oneLine(ParameterException e) {
        if (e instanceof UnmatchedArgumentException unmatched
                && !unmatched.getUnmatched().isEmpty()) {
            String word = unmatched.getUnmatched().get(0);
            CommandSpec spec = e.getCommandLine().getCommandSpec();
            if (word.startsWith("-")) {
                String name = word.contains("=") ? word.substring(0, word.indexOf('=')) : word;
                List<String> names = spec.options().stream()
                        .flatMap(option -> Arrays.stream(option.names()))
                        .filter(option -> option.startsWith("--"))
                        .toList();
                return "unknown flag '" + name + "'" + Suggestion.among(names, name);
            }
            if (!spec.subcommands().isEmpty()) {
                return "unknown command '" + word + "'"
                        + Suggestion.among(spec.subcommands().keySet(), word);
            }
            return "unexpected argument '" + word + "'; everything is given with flags";
        }
        String message = e.getMessage() == null ? "wrong usage" : e.getMessage();
        return message.substring(0, 1).toLowerCase(Locale.ROOT) + message.substring(1);
    }

    private static int failed(Exception e, CommandLine line, ParseResult parsed) throws Exception {
        if (e instanceof ConfigurationException wrong) {
            wrong.problems().forEach(problem -> line.getErr().println("sluice: " + problem));
            return USAGE;
        }
        throw e;
    }

    /** {@code --version}. */
    static final class Versions implements IVersionProvider {
        @Override
        public String[] getVersion() {
            return new String[] {
                "sluice " + BuildInfo.version() + " (Java " + Runtime.version() + ", Netty " + netty() + ")",
            };
        }

        private static String netty() {
            Version version = Version.identify().get("netty-common");
            return version == null ? "unknown" : version.artifactVersion();
        }
    }
}
