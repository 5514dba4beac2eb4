package io.sluice.cli;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code sluice log-level}: prints or changes the log level of a running daemon. */
@Command(
        name = "log-level",
        description = "Prints the log level of a running Sluice, or changes it until the next SIGHUP or restart.",
        abbreviateSynopsis = true,
        parameterListHeading = "%nParameters:%n",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice log-level",
            "  sluice log-level debug",
            "",
            "A change needs the Unix socket of the daemon.",
            AdminCommand.EXIT_CODES
        })
final class LogLevelCommand extends AdminCommand {
    /** Levels of the log. */
    enum Level {
        error,
        warn,
        info,
        debug,
        trace
    }

    @Parameters(
            arity = "0..1",
            paramLabel = "LEVEL",
            description = "New level: error, warn, info, debug or trace. Default: print the current one.")
    private @Nullable Level level;

    @Override
    AdminClient client(AdminOptions options) {
        return level == null ? super.client(options) : options.writer(spec());
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        AdminRequest request = AdminRequest.of("log-level");
        if (level == null) {
            out().println(client.get(request).text("level"));
            return 0;
        }
        Item changed = client.send("PUT", request.with("level", level.name()));
        out().println(changed.text("level") + " (was " + changed.text("previous") + ")");
        return 0;
    }
}
