package io.sluice.cli;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** A command that lists connections or flows, with the same filters for both. */
abstract class ConnectionListCommand extends ListCommand {
    @Option(
            names = "--service",
            paramLabel = "NAMESPACE/NAME",
            description = "Only of this Service, or of service port NAMESPACE/NAME:PORT.")
    private @Nullable String service;

    @Option(
            names = "--client",
            paramLabel = "ADDRESS",
            description = "Only from this client address, with or without port.")
    private @Nullable String client;

    @Option(
            names = "--endpoint",
            paramLabel = "ADDRESS",
            description = "Only to this endpoint address, with or without port.")
    private @Nullable String endpoint;

    @Option(
            names = "--frontend",
            paramLabel = "ADDRESS:PORT/PROTOCOL",
            description = "Only through this frontend, such as 10.96.0.10:80/tcp.")
    private @Nullable String frontend;

    @Option(
            names = "--limit",
            paramLabel = "N",
            defaultValue = "" + DEFAULT_LIMIT,
            description = "Maximum number of items. Default: 1000.")
    private int limit = DEFAULT_LIMIT;

    /** The columns between the endpoint and the bytes to the endpoint. */
    abstract List<Column> ownColumns();

    @Override
    final void validate() {
        requireServiceOrPort(service);
        requirePositive(limit);
    }

    @Override
    final AdminRequest request() {
        return AdminRequest.of(noun())
                .with("service", service)
                .with("client", client)
                .with("endpoint", endpoint)
                .with("frontend", frontend);
    }

    @Override
    final int limit() {
        return limit;
    }

    @Override
    final List<Column> columns() {
        List<Column> columns = new ArrayList<>(List.of(
                Column.text("SERVICE", item -> item.text("service")),
                Column.address("CLIENT", item -> item.text("client")),
                Column.address("ENDPOINT", item -> item.orDash("endpoint"))));
        columns.addAll(ownColumns());
        columns.addAll(List.of(
                Column.number("TO ENDPOINT", item -> item.bytes("bytesToEndpoint"))
                        .onlyWide(),
                Column.address("FRONTEND", item -> item.text("frontend")).onlyWide(),
                Column.text("PATH", item -> item.text("path")).onlyWide()));
        return columns;
    }
}
