package io.sluice.cli;

import java.util.List;
import picocli.CommandLine.Command;

/** {@code sluice flows}: lists open UDP flows. */
@Command(
        name = "flows",
        description = "Lists the open UDP flows of a running Sluice: which client exchanges datagrams with which"
                + " endpoint.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice flows --service kube-system/kube-dns:dns",
            "  sluice flows --client 10.1.0.9",
            "",
            AdminCommand.EXIT_CODES
        })
final class FlowsCommand extends ConnectionListCommand {
    @Override
    String noun() {
        return "flows";
    }

    @Override
    List<Column> ownColumns() {
        return List.of(
                Column.number("AGE", item -> item.duration("ageSeconds")),
                Column.number("SENT", item -> item.count("datagramsToEndpoint")),
                Column.number("REPLIES", item -> item.count("datagramsToClient")),
                Column.number("TO CLIENT", item -> item.bytes("bytesToClient")).onlyWide());
    }
}
