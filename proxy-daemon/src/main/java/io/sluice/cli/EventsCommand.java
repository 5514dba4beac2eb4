package io.sluice.cli;

import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code sluice events}: lists recent changes and failures, and optionally follows them. */
@Command(
        name = "events",
        description = "Lists the recent changes, failures and recoveries of a running Sluice, which keeps the last"
                + " 1,000.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice events --service shop/web",
            "  sluice events --kind failure -o json",
            "  sluice events -f               print new events until Ctrl-C; survives a restart of Sluice",
            "",
            "With -f and -o json, each event is one line.",
            AdminCommand.EXIT_CODES
        })
final class EventsCommand extends ListCommand {
    private static final int MAX_EVENTS = 1_000;
    private static final int DEFAULT_EVENTS = 100;
    private static final long POLL_MILLIS = 1_000;

    @Option(
            names = {"-f", "--follow"},
            description = "Print new events as they happen, until Ctrl-C.")
    private boolean follow;

    @Option(
            names = "--service",
            paramLabel = "NAMESPACE/NAME",
            description = "Only of this Service, or of service port NAMESPACE/NAME:PORT.")
    private @Nullable String service;

    @Option(names = "--kind", paramLabel = "KIND", description = "Only change, failure or recovery.")
    private @Nullable String kind;

    @Option(
            names = "--limit",
            paramLabel = "N",
            defaultValue = "" + DEFAULT_EVENTS,
            description = "Maximum number of events, from 1 to 1000. Default: the last 100.")
    private int limit = DEFAULT_EVENTS;

    @Override
    void validate() {
        requireServiceOrPort(service);
        if (limit < 1 || limit > MAX_EVENTS) {
            throw usage("--limit: '" + limit + "' is invalid; must be a whole number from 1 to " + MAX_EVENTS);
        }
    }

    @Override
    AdminRequest request() {
        return AdminRequest.of("events").with("service", service).with("kind", kind);
    }

    @Override
    String noun() {
        return "events";
    }

    @Override
    List<Column> columns() {
        return List.of(
                Column.text("TIME (UTC)", item -> item.shortTime("time")),
                Column.text("KIND", item -> item.text("kind")),
                Column.text("SERVICE", item -> item.orDash("service")),
                Column.address("ENDPOINT", item -> item.orDash("endpoint")),
                Column.text("REASON", item -> item.text("reason")));
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        if (!follow) {
            print(client.page(request().with("limit", String.valueOf(limit))).items());
            return 0;
        }
        Follower follower = new Follower(client);
        while (true) {
            follower.poll();
            // Flushes, and detects that the reader of a pipe has exited.
            if (out().checkError()) {
                return 0;
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** Polls new events, and continues with the events of the next process after a restart. */
    private final class Follower {
        private final AdminClient client;
        /** Identifies the process whose event numbers are known; empty before the first response. */
        private String process = "";

        private @Nullable String after;
        private boolean reportedUnavailable;

        Follower(AdminClient client) {
            this.client = client;
        }

        void poll() throws CommandFailedException, InterruptedException {
            try {
                Item status = client.get(AdminRequest.of("status"));
                String current = status.text("pid") + " " + status.text("startTime");
                boolean restarted = !process.isEmpty() && !process.equals(current);
                if (restarted) {
                    note("Sluice was restarted; following process " + status.text("pid"));
                    after = null;
                }
                int size = process.isEmpty() ? limit : MAX_EVENTS;
                AdminRequest request = request().with("limit", String.valueOf(size));
                AdminClient.Items events = client.page(request.with("after", after));
                after = events.next() == null ? after : events.next();
                process = current;
                reportedUnavailable = false;
                events.items().forEach(this::print);
            } catch (CommandFailedException e) {
                // The first request must succeed, so that a wrong address is reported at once.
                if (process.isEmpty() || !e.isTemporary()) {
                    throw e;
                }
                if (!reportedUnavailable) {
                    note(e.getMessage() + "; waiting for Sluice");
                    reportedUnavailable = true;
                }
            }
        }

        /** Prints one line without a table, whose widths would depend on events that have not happened yet. */
        private void print(Item event) {
            out().println(
                            isJson()
                                    ? event.json().toString()
                                    : String.join(
                                            "  ",
                                            columns().stream()
                                                    .map(column ->
                                                            column.value().apply(event))
                                                    .toList()));
        }
    }
}
