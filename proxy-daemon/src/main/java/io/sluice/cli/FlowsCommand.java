package io.sluice.cli;

import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

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
final class FlowsCommand extends ListCommand {
    @Mixin
    private SessionFilters filters = new SessionFilters();

    @Override
    void validate() {
        filters.validate(this);
    }

    @Override
    AdminRequest request() {
        return filters.addTo(AdminRequest.of("flows"));
    }

    @Override
    String noun() {
        return "flows";
    }

    @Override
    int limit() {
        return filters.limit();
    }

    @Override
    List<Column> columns() {
        return List.of(
                Column.text("SERVICE", item -> item.text("service")),
                Column.text("CLIENT", item -> item.text("client")),
                Column.text("ENDPOINT", item -> item.orDash("endpoint")),
                Column.number("AGE", item -> item.duration("ageSeconds")),
                Column.number("SENT", item -> item.count("datagramsToEndpoint")),
                Column.number("REPLIES", item -> item.count("datagramsToClient")),
                Column.number("TO CLIENT", item -> item.bytes("bytesToClient")).onlyWide(),
                Column.number("TO ENDPOINT", item -> item.bytes("bytesToEndpoint"))
                        .onlyWide(),
                Column.text("FRONTEND", item -> item.text("frontend")).onlyWide(),
                Column.text("PATH", item -> item.text("path")).onlyWide());
    }
}
