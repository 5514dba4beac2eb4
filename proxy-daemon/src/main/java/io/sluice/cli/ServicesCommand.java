package io.sluice.cli;

import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code sluice services}: lists Services with their state and traffic, or shows one of them in detail. */
@Command(
        name = "services",
        description = "Lists the Services of a running Sluice with their state and traffic, or shows the frontends,"
                + " endpoints, policy, counters and recent failures of one Service.",
        abbreviateSynopsis = true,
        parameterListHeading = "%nParameters:%n",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice services",
            "  sluice services --state degraded",
            "  sluice services shop/web",
            "",
            "States: ok, degraded (an endpoint or a frontend fails), failing (no endpoint answers), no-endpoints,"
                    + " unused (no connection yet).",
            AdminCommand.EXIT_CODES
        })
final class ServicesCommand extends ListCommand {
    @Parameters(
            arity = "0..1",
            paramLabel = "NAMESPACE/NAME",
            description = "Service to show in detail. Default: list all Services.")
    private @Nullable String service;

    @Option(
            names = {"-n", "--namespace"},
            paramLabel = "NAMESPACE",
            description = "List only Services of this namespace.")
    private @Nullable String namespace;

    @Option(names = "--state", paramLabel = "STATE", description = "List only Services in this state.")
    private @Nullable String state;

    @Option(
            names = {"-q", "--query"},
            paramLabel = "TEXT",
            description = "List only Services whose name or address contains this text.")
    private @Nullable String query;

    @Override
    void validate() {
        requireService(service);
        if (service != null && (namespace != null || state != null || query != null)) {
            throw usage("NAMESPACE/NAME cannot be combined with --namespace, --state or --query");
        }
    }

    @Override
    AdminRequest request() {
        return AdminRequest.of("services")
                .with("namespace", namespace)
                .with("state", state)
                .with("q", query);
    }

    @Override
    String noun() {
        return "services";
    }

    @Override
    List<Column> columns() {
        return List.of(
                Column.text("SERVICE", item -> item.text("service")),
                Column.text("STATE", item -> item.text("state")),
                Column.number("ENDPOINTS", item -> item.object("endpoints").orDash("total")),
                Column.number("FAILING", ServicesCommand::failing),
                Column.number("ACTIVE", item -> item.count("active")),
                Column.number("TOTAL", item -> item.count("total")),
                Column.number("FAILED", item -> item.count("failed")),
                Column.number("TO CLIENT", item -> item.bytes("bytesToClient")),
                Column.number("TO ENDPOINT", item -> item.bytes("bytesToEndpoint"))
                        .onlyWide(),
                Column.number("FAILED FRONTENDS", item -> item.count("failedFrontends"))
                        .onlyWide(),
                Column.text("PATH", item -> String.join(", ", item.strings("paths")))
                        .onlyWide(),
                Column.text("FRONTENDS", item -> String.join(", ", item.strings("frontends")))
                        .onlyWide());
    }

    private static String failing(Item item) {
        Item endpoints = item.object("endpoints");
        return String.valueOf(endpoints.number("refusing") + endpoints.number("silent") + endpoints.number("ejected"));
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        if (service == null) {
            return super.run(client);
        }
        int slash = service.indexOf('/');
        Item details =
                client.get(AdminRequest.of("services", service.substring(0, slash), service.substring(slash + 1)));
        if (isJson()) {
            printJson(details.json());
            return 0;
        }
        AdminClient.Items failures = client.page(AdminRequest.of("events")
                .with("service", service)
                .with("kind", "failure")
                .with("limit", String.valueOf(ServiceReport.MAX_FAILURES)));
        new ServiceReport(details, failures.items(), this::lines).lines().forEach(out()::println);
        return 0;
    }
}
