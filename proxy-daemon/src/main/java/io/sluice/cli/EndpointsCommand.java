package io.sluice.cli;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code sluice endpoints}: lists endpoints with their health and their share of the traffic. */
@Command(
        name = "endpoints",
        description = "Lists the endpoints of a running Sluice: state, last error, and how many connections, flows and"
                + " bytes each of them got.",
        abbreviateSynopsis = true,
        parameterListHeading = "%nParameters:%n",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice endpoints shop/web",
            "  sluice endpoints --state refusing",
            "  sluice endpoints --address 10.1.0.4 -o wide",
            "",
            "States: unknown (no connection yet), up, refusing, silent (timeout), ejected, draining, disabled.",
            AdminCommand.EXIT_CODES
        })
final class EndpointsCommand extends ListCommand {
    @Parameters(
            arity = "0..1",
            paramLabel = "NAMESPACE/NAME",
            description = "Service, or service port NAMESPACE/NAME:PORT. Default: all Services.")
    private @Nullable String service;

    @Option(names = "--state", paramLabel = "STATE", description = "List only endpoints in this state.")
    private @Nullable String state;

    @Option(
            names = "--address",
            paramLabel = "ADDRESS",
            description = "List only endpoints with this address, with or without port.")
    private @Nullable String address;

    @Override
    void validate() {
        requireServiceOrPort(service);
    }

    @Override
    AdminRequest request() {
        return AdminRequest.of("endpoints")
                .with("service", service)
                .with("state", state)
                .with("address", address);
    }

    @Override
    String noun() {
        return "endpoints";
    }

    @Override
    List<Column> columns() {
        return columns(Instant.now(), true);
    }

    /** The columns of a list of endpoints, with or without the Service. */
    static List<Column> columns(Instant now, boolean withService) {
        List<Column> columns = new ArrayList<>();
        if (withService) {
            columns.add(Column.text("SERVICE", item -> item.text("service")));
        }
        columns.addAll(List.of(
                Column.address("ENDPOINT", item -> item.text("address")),
                Column.text("STATE", item -> item.text("state")),
                Column.number("SINCE", item -> item.age("since", now)),
                Column.number("ACTIVE", item -> item.count("active")),
                Column.number("TOTAL", item -> item.count("total")),
                Column.number("FAILED", item -> item.count("failed")),
                Column.number("TO CLIENT", item -> item.bytes("bytesToClient")).onlyWide(),
                Column.number("TO ENDPOINT", item -> item.bytes("bytesToEndpoint"))
                        .onlyWide(),
                Column.number("CONNECT P50", item -> milliseconds(item, "p50")).onlyWide(),
                Column.number("P99", item -> milliseconds(item, "p99")).onlyWide(),
                Column.text("UNTIL", item -> item.orDash("until")).onlyWide(),
                Column.text("LAST ERROR", item -> item.orDash("lastError"))));
        return columns;
    }

    private static String milliseconds(Item endpoint, String percentile) {
        String value = endpoint.object("connectMillis").text(percentile);
        return value.isEmpty() ? "-" : value + " ms";
    }
}
