package io.sluice.cli;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Filters for connections and flows. */
final class SessionFilters {
    static final int DEFAULT_LIMIT = 1_000;

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

    void validate(AdminCommand command) {
        command.requireServiceOrPort(service);
        if (limit < 1) {
            throw command.usage("--limit: '" + limit + "' is invalid; must be a positive number");
        }
    }

    AdminRequest addTo(AdminRequest request) {
        return request.with("service", service)
                .with("client", client)
                .with("endpoint", endpoint)
                .with("frontend", frontend);
    }

    int limit() {
        return limit;
    }
}
