package io.sluice.cli;

import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.config.Settings;
import io.sluice.node.NodeCleanup;
import io.sluice.node.RuleOptions;
import io.sluice.socketlb.Pins;
import java.io.IOException;
import java.net.ConnectException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sluice cleanup}: removes what a killed daemon has left in the kernel. */
@Command(
        name = "cleanup",
        description =
                "Removes what a killed Sluice has left in the kernel: the programs of socket-level load balancing,"
                        + " and the nftables table and routing rules of node mode. A Sluice that exits normally removes them"
                        + " itself. Fails if Sluice is running.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice cleanup",
            "  sluice cleanup --config sluice.yaml",
            "",
            "Use the flags, environment variables and configuration file with which Sluice ran, and the network"
                    + " namespace of the node.",
            "Exit codes: 0 removed, or there was nothing to remove, 1 Sluice is running or something cannot be removed,"
                    + " 2 invalid command line or configuration."
        })
final class CleanupCommand implements Callable<Integer> {
    /** The settings that determine what a daemon leaves behind, and where it can be reached. */
    static final List<Setting<?>> SETTINGS = List.of(
            Setting.MARK_BIT,
            Setting.ROUTING_TABLE,
            Setting.RULE_PRIORITY,
            Setting.SOCKET_LB_PINS,
            Setting.HANDOVER_SOCKET,
            Setting.ADMIN_SOCKET);

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "Configuration file of 'sluice run'. Only settings that this command also supports are used."
                    + " Default: $SLUICE_CONFIG.")
    private @Nullable Path config;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    private RuleRemoval rules = NodeCleanup::run;

    /** Removes the rules of node mode, and returns what there was. */
    @FunctionalInterface
    interface RuleRemoval {
        List<String> remove(RuleOptions options) throws IOException;
    }

    /** For tests, which must not change the rules of the machine on which they run. */
    void setRuleRemoval(RuleRemoval removal) {
        rules = removal;
    }

    @Override
    public Integer call() throws ConfigurationException, CommandFailedException {
        Path file = config == null ? Main.pathFromEnvironment(spec, "SLUICE_CONFIG") : config;
        // In node mode, whatever the mode of the next start, because a process in bind mode leaves nothing behind.
        Settings settings = Main.configuration(
                        spec.commandLine().getParseResult(), file, Map.of(Setting.MODE, List.of("node")))
                .settings();
        requireUnused(settings.admin().socket());
        requireUnused(settings.handoverSocket());
        List<String> removed = new ArrayList<>();
        List<String> errors = new ArrayList<>();
        Path pins = settings.socketLb().pins();
        try {
            if (Pins.remove(pins)) {
                removed.add("pinned programs and maps in " + pins);
            }
        } catch (IOException e) {
            errors.add(String.valueOf(e.getMessage()));
        }
        try {
            removed.addAll(rules.remove(Objects.requireNonNull(settings.rules())));
        } catch (IOException e) {
            errors.add("cannot remove the rules of node mode: " + e.getMessage());
        }
        removed.forEach(each -> spec.commandLine().getOut().println("removed: " + each));
        if (removed.isEmpty() && errors.isEmpty()) {
            spec.commandLine().getOut().println("nothing to remove");
        }
        spec.commandLine().getOut().flush();
        errors.forEach(each -> spec.commandLine().getErr().println("sluice: " + each));
        return errors.isEmpty() ? 0 : Main.PROBLEMS;
    }

    /** @throws CommandFailedException if a process listens on a socket of the daemon, or if that is unknown */
    private static void requireUnused(@Nullable Path socket) throws CommandFailedException {
        if (socket == null || !Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.connect(UnixDomainSocketAddress.of(socket));
        } catch (ConnectException e) {
            // The file of a process that was killed.
            return;
        } catch (IOException e) {
            throw CommandFailedException.of("cannot tell whether Sluice is running: " + socket + ": " + e.getMessage());
        }
        throw CommandFailedException.of("Sluice is running and listens on " + socket
                + "; stop it first, which also removes its rules and programs");
    }
}
