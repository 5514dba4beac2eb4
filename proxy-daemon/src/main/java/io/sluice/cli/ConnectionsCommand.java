package io.sluice.cli;

import java.util.List;
import picocli.CommandLine.Command;

/** {@code sluice connections}: lists open TCP connections. */
@Command(
        name = "connections",
        description = "Lists the open TCP connections of a running Sluice: which client is connected to which endpoint,"
                + " for how long, and how many bytes were forwarded.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice connections --service shop/web",
            "  sluice connections --client 10.1.0.9",
            "  sluice connections --endpoint 10.1.0.4:8080 -o json | jq length",
            "",
            AdminCommand.EXIT_CODES
        })
final class ConnectionsCommand extends ConnectionListCommand {
    @Override
    String noun() {
        return "connections";
    }

    @Override
    List<Column> ownColumns() {
        return List.of(
                Column.text("STATE", item -> item.text("state")),
                Column.number("AGE", item -> item.duration("ageSeconds")),
                Column.number("TO CLIENT", item -> item.bytes("bytesToClient")));
    }
}
