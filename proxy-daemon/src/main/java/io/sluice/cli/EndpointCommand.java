package io.sluice.cli;

import io.sluice.model.Endpoint;
import io.sluice.text.Table;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code sluice endpoint}: takes an endpoint out of service, and puts it back. */
@Command(
        name = "endpoint",
        description = "Takes an endpoint of a Service out of service on this node, or puts it back: drain sends no new"
                + " connections to it, disable also resets its open connections, enable ends both.",
        abbreviateSynopsis = true,
        parameterListHeading = "%nParameters:%n",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice endpoint drain shop/web 10.1.0.4:8080 --for 10m",
            "  sluice endpoint enable shop/web 10.1.0.4:8080",
            "  sluice endpoints --state draining",
            "",
            "Needs the Unix socket of the daemon. The state ends with a restart of Sluice, but not with a handover.",
            AdminCommand.EXIT_CODES
        })
final class EndpointCommand extends AdminCommand {
    private static final String DURATION = "[1-9]\\d{0,8}(s|m|h)";

    /** What to do with the endpoint. */
    enum Action {
        drain,
        disable,
        enable
    }

    @Parameters(index = "0", paramLabel = "ACTION", description = "drain, disable or enable.")
    @SuppressWarnings("NullAway.Init") // required
    private Action action;

    @Parameters(index = "1", paramLabel = "NAMESPACE/NAME", description = "Service of the endpoint.")
    @SuppressWarnings("NullAway.Init") // required
    private String service;

    @Parameters(
            index = "2",
            paramLabel = "ADDRESS:PORT",
            description = "Endpoint, as 'sluice endpoints' lists it; [ADDRESS]:PORT for IPv6.")
    @SuppressWarnings("NullAway.Init") // required
    private String address;

    @Option(
            names = "--for",
            paramLabel = "TIME",
            description = "Enable the endpoint again after this time, such as 10m. Default: until 'enable'.")
    private @Nullable String duration;

    @Option(names = "--force", description = "Also take out the last usable endpoint of a service port.")
    private boolean force;

    @Override
    void validate() {
        requireService(service);
        if (Endpoint.parse(address) == null) {
            throw usage("'" + address + "' is invalid; must be ADDRESS:PORT or [ADDRESS]:PORT, such as 10.1.0.4:8080");
        }
        if (duration != null && !duration.matches(DURATION)) {
            throw usage("--for: '" + duration + "' is invalid; must be a duration such as 30s, 10m or 1h");
        }
        if (action == Action.enable && (duration != null || force)) {
            throw usage("enable cannot be combined with --for or --force");
        }
    }

    @Override
    AdminClient client(AdminOptions options) {
        return options.writer(spec());
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        int slash = service.indexOf('/');
        Item changed = client.send(
                "POST",
                AdminRequest.of(
                                "endpoints",
                                service.substring(0, slash),
                                service.substring(slash + 1),
                                address,
                                action.name())
                        .with("for", duration)
                        .with("force", force ? "true" : null));
        out().println(changed.text("service") + " " + changed.text("address") + ": " + changed.text("state")
                + (duration == null ? "" : " for " + duration)
                + "; " + Table.count(changed.number("active"), "open connection"));
        return 0;
    }
}
