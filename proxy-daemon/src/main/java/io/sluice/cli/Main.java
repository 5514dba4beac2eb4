package io.sluice.cli;

import io.netty.util.Version;
import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.config.SettingGroup;
import io.sluice.daemon.Logging;
import io.sluice.ops.BuildInfo;
import io.sluice.text.Suggestion;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.ArgGroupSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.UsageMessageSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** Entry point: defines the commands and reports usage errors. */
@Command(
        name = "sluice",
        versionProvider = Main.Versions.class,
        description = {
            "A kube-proxy for TCP and UDP that runs in user space: watches Services and EndpointSlices, listens on the"
                    + " Service addresses and balances connections across the endpoints."
        },
        subcommands = {
            RunCommand.class,
            CheckCommand.class,
            TraceCommand.class,
            DemoCommand.class,
            CompletionCommand.class,
            CleanupCommand.class,
            StatusCommand.class,
            TopCommand.class,
            ServicesCommand.class,
            EndpointsCommand.class,
            ConnectionsCommand.class,
            FlowsCommand.class,
            AffinityCommand.class,
            EventsCommand.class,
            EndpointCommand.class,
            LogLevelCommand.class,
            UpgradeCommand.class,
            DebugBundleCommand.class
        },
        synopsisSubcommandLabel = "COMMAND",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  Run a demonstration without a cluster:",
            "    sluice demo",
            "  Save the objects of a cluster, and check how Sluice interprets them:",
            "    kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml",
            "    sluice check --feed cluster.yaml",
            "  Explain how a packet is handled:",
            "    sluice trace --feed cluster.yaml --from 10.244.1.5 --to 10.96.0.10:53/udp",
            "  Serve the saved Services on loopback addresses of this machine:",
            "    sluice run --feed cluster.yaml --map-frontends 10.96.0.0/12=127.96.0.0/12",
            "  See whether a running Sluice works, and which endpoints of a Service fail:",
            "    sluice status",
            "    sluice endpoints shop/web",
            "",
            "Run 'sluice COMMAND --help' for the flags of a command and their defaults.",
            "Run 'sluice aot' once to speed up later starts: it creates a class cache for this Java.",
            "Exit codes: 0 success, 1 failure or problems found, 2 invalid command line or configuration."
        })
public final class Main implements Runnable {
    static final int PROBLEMS = 1;
    static final int USAGE = 2;

    @CommandLine.Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    private Main() {}

    /** Runs a command and exits with its exit code. */
    public static void main(String[] args) {
        // Until a command configures logging, only warnings from libraries are printed.
        Logging.configure("text", "warn", System.err);
        System.exit(commandLine(new Invocation(System.getenv(), System.in, Terminal.ofThisProcess()))
                .setOut(writer(System.out))
                .execute(args));
    }

    /** Returns a writer that, unlike picocli's, reports errors of the stream: its reader may have exited. */
    static PrintWriter writer(PrintStream stream) {
        return new PrintWriter(stream, true, Charset.defaultCharset());
    }

    /** Creates and returns a command line parser for tests, which have no terminal. */
    public static CommandLine commandLine(Map<String, String> environment, InputStream standardInput) {
        return commandLine(new Invocation(environment, standardInput, Terminal.NONE));
    }

    private static CommandLine commandLine(Invocation invocation) {
        CommandLine line = new CommandLine(new Main());
        invocation.attachTo(line);
        addSettings(line, "run", Setting.values());
        List<Setting<?>> rules = List.of(
                Setting.FEED,
                Setting.KUBECONFIG,
                Setting.CONTEXT,
                Setting.MASTER,
                Setting.TOKEN_FILE,
                Setting.CERTIFICATE_AUTHORITY,
                Setting.INSECURE_SKIP_TLS_VERIFY,
                Setting.ENDPOINTS_API,
                Setting.MODE,
                Setting.NODE_NAME,
                Setting.NODE_IP,
                Setting.CLUSTER_CIDR,
                Setting.DETECT_LOCAL_MODE,
                Setting.SERVICE_CIDR,
                Setting.NODEPORT_ADDRESSES,
                Setting.MASQUERADE_ALL,
                Setting.SERVICE_PROXY_NAME,
                Setting.MAP_FRONTENDS,
                Setting.SOCKET_LB);
        addSettings(line, "check", rules);
        addSettings(line, "trace", rules);
        addSettings(line, "cleanup", CleanupCommand.SETTINGS);
        for (CommandLine each : line.getSubcommands().values()) {
            each.setUsageHelpWidth(100);
            each.getCommandSpec().addOption(helpOption());
        }
        line.getHelpSectionMap().remove(UsageMessageSpec.SECTION_KEY_COMMAND_LIST_HEADING);
        line.getHelpSectionMap().put(UsageMessageSpec.SECTION_KEY_COMMAND_LIST, Main::commandList);
        line.getCommandSpec().addOption(helpOption());
        line.getCommandSpec()
                .addOption(OptionSpec.builder("-V", "--version")
                        .versionHelp(true)
                        .description("Show the versions of Sluice, Java and Netty.")
                        .build());
        return line.setUsageHelpWidth(100)
                .setParameterExceptionHandler(Main::usageError)
                .setExecutionExceptionHandler(Main::failed);
    }

    /** Lists the commands for a running daemon under a heading of their own. */
    private static String commandList(Help help) {
        Map<String, Help> others = new LinkedHashMap<>();
        Map<String, Help> admin = new LinkedHashMap<>();
        help.subcommands()
                .forEach(
                        (name, command) -> (command.commandSpec().userObject() instanceof AdminCommand ? admin : others)
                                .put(name, command));
        return String.format(
                "%nCommands:%n%s%nCommands for a running Sluice:%n%s",
                help.commandList(others), help.commandList(admin));
    }

    private static OptionSpec helpOption() {
        return OptionSpec.builder("-h", "--help")
                .usageHelp(true)
                .description("Show this help.")
                .build();
    }

    private static void addSettings(CommandLine line, String command, List<Setting<?>> settings) {
        CommandSpec spec =
                Objects.requireNonNull(line.getSubcommands().get(command)).getCommandSpec();
        Map<SettingGroup, ArgGroupSpec.Builder> groups = new EnumMap<>(SettingGroup.class);
        for (Setting<?> setting : settings) {
            List<String> names = new ArrayList<>(setting.flags());
            if (setting.equals(Setting.FEED) && !command.equals("run")) {
                names.add(0, "-f");
            }
            OptionSpec.Builder option = OptionSpec.builder(names.toArray(String[]::new))
                    .paramLabel(setting.label())
                    .description(setting.description().replace("%", "%%") + defaultOf(setting));
            // Validated by Setting, not by picocli, so that the error messages for flags and for the file are the same.
            if (setting.isList()) {
                option.arity("1").type(List.class).auxiliaryTypes(String.class).splitRegex(",");
            } else if (setting.isBoolean()) {
                option.arity("0..1").fallbackValue("true").type(String.class);
            } else {
                option.arity("1").type(String.class);
            }
            groups.computeIfAbsent(
                            SettingGroup.of(setting),
                            group -> ArgGroupSpec.builder()
                                    .validate(false)
                                    .order(List.of(SettingGroup.values()).indexOf(group))
                                    .heading("%n" + group.heading() + ":%n"))
                    .addArg(option.build());
        }
        groups.values().forEach(group -> spec.addArgGroup(group.build()));
    }

    private static String defaultOf(Setting<?> setting) {
        return setting.documentedDefault().isEmpty() ? "" : " Default: " + setting.documentedDefault() + ".";
    }

    static Map<String, String> environment(CommandSpec spec) {
        return Invocation.of(spec).environment();
    }

    /** Returns the path in an environment variable; null if the variable is not set. */
    static @Nullable Path pathFromEnvironment(CommandSpec spec, String variable) {
        String text = environment(spec).get(variable);
        return text == null || text.isBlank() ? null : Path.of(text);
    }

    static InputStream standardInput(CommandSpec spec) {
        return Invocation.of(spec).standardInput();
    }

    /** Loads the configuration from the parsed flags, the environment and, if one is set, the configuration file. */
    public static Configuration configuration(ParseResult parsed, @Nullable Path file) throws ConfigurationException {
        return configuration(parsed, file, Map.of());
    }

    /** Loads the configuration like a command that was also given these flags. */
    static Configuration configuration(ParseResult parsed, @Nullable Path file, Map<Setting<?>, List<String>> moreFlags)
            throws ConfigurationException {
        Map<Setting<?>, List<String>> flags = new TreeMap<>(moreFlags);
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
        return Configuration.load(file, environment(parsed.commandSpec()), flags);
    }

    /** Runs if no command was given, and reports this as a usage error. */
    @Override
    public void run() {
        throw new ParameterException(
                spec.commandLine(), "missing command, such as run, check or status; 'sluice --help' lists all");
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
            return "unexpected argument '" + word + "'"
                    + (spec.positionalParameters().isEmpty() ? "; only flags are accepted" : "");
        }
        String message = e.getMessage() == null ? "invalid command line" : e.getMessage();
        // The messages of picocli are sentences. Others may begin with a label such as NAMESPACE/NAME, which is kept.
        boolean sentence = message.length() > 1 && Character.isLowerCase(message.charAt(1));
        return sentence ? message.substring(0, 1).toLowerCase(Locale.ROOT) + message.substring(1) : message;
    }

    private static int failed(Exception e, CommandLine line, ParseResult parsed) throws Exception {
        if (e instanceof ConfigurationException wrong) {
            wrong.problems().forEach(problem -> line.getErr().println("sluice: " + problem));
            return USAGE;
        }
        if (e instanceof CommandFailedException) {
            line.getErr().println("sluice: " + e.getMessage());
            return PROBLEMS;
        }
        throw e;
    }

    /** Prints the versions for {@code --version}. */
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
