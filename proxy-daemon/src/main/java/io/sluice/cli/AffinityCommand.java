package io.sluice.cli;

import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code sluice affinity}: lists session affinity entries. */
@Command(
        name = "affinity",
        description =
                "Lists the session affinity entries of a running Sluice: which client address is assigned to which"
                        + " endpoint, and for how long.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice affinity --service shop/web",
            "  sluice affinity --client 10.1.0.9",
            "",
            AdminCommand.EXIT_CODES
        })
final class AffinityCommand extends ListCommand {
    @Option(
            names = "--service",
            paramLabel = "NAMESPACE/NAME",
            description = "Only of this Service, or of service port NAMESPACE/NAME:PORT.")
    private @Nullable String service;

    @Option(names = "--client", paramLabel = "ADDRESS", description = "Only of this client address.")
    private @Nullable String client;

    @Option(
            names = "--endpoint",
            paramLabel = "ADDRESS",
            description = "Only with this endpoint address, with or without port.")
    private @Nullable String endpoint;

    @Option(
            names = "--limit",
            paramLabel = "N",
            defaultValue = "" + DEFAULT_LIMIT,
            description = "Maximum number of entries. Default: 1000.")
    private int limit = DEFAULT_LIMIT;

    @Override
    void validate() {
        requireServiceOrPort(service);
        requirePositive(limit);
    }

    @Override
    AdminRequest request() {
        return AdminRequest.of("affinity")
                .with("service", service)
                .with("client", client)
                .with("endpoint", endpoint);
    }

    @Override
    String noun() {
        return "session affinity entries";
    }

    @Override
    int limit() {
        return limit;
    }

    @Override
    List<Column> columns() {
        return List.of(
                Column.text("SERVICE", item -> item.text("service")),
                Column.address("CLIENT", item -> item.text("client")),
                Column.address("ENDPOINT", item -> item.text("endpoint")),
                Column.number("IDLE", item -> item.duration("idleSeconds")),
                Column.number("EXPIRES IN", item -> item.duration("expiresInSeconds")));
    }
}
