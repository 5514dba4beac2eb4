package io.sluice.cli;

import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

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
final class ConnectionsCommand extends ListCommand {
    @Mixin
    private SessionFilters filters = new SessionFilters();

    @Override
    void validate() {
        filters.validate(this);
    }

    @Override
    AdminRequest request() {
        return filters.addTo(AdminRequest.of("connections"));
    }

    @Override
    String noun() {
        return "connections";
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
                Column.text("STATE", item -> item.text("state")),
                Column.number("AGE", item -> item.duration("ageSeconds")),
                Column.number("TO CLIENT", item -> item.bytes("bytesToClient")),
                Column.number("TO ENDPOINT", item -> item.bytes("bytesToEndpoint"))
                        .onlyWide(),
                Column.text("FRONTEND", item -> item.text("frontend")).onlyWide(),
                Column.text("PATH", item -> item.text("path")).onlyWide());
    }
}
