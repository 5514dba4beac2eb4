package io.sluice.cli;

import io.sluice.text.HumanUnits;
import io.sluice.text.Table;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code sluice top}: shows the Services with the most traffic, refreshed every second. */
@Command(
        name = "top",
        description = "Shows the Services with the highest current rates, refreshed every second. If standard output is"
                + " not a terminal, prints one table after the other.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice top",
            "  sluice top --sort bytes",
            "  sluice top --once",
            "",
            "Keys: c, b and f sort by new connections, bytes and failures; q quits.",
            AdminCommand.EXIT_CODES
        })
final class TopCommand extends AdminCommand {
    private static final long INTERVAL_MILLIS = 1_000;
    private static final long KEY_MILLIS = 50;

    /** Lines of a frame above the Services, and one that stays empty below them. */
    private static final int HEADER_LINES = 4;

    private static final int CTRL_C = 3;
    private static final int CTRL_D = 4;
    private static final String ENTER_SCREEN = "\u001b[?1049h\u001b[?25l";
    private static final String LEAVE_SCREEN = "\u001b[?25h\u001b[?1049l";
    private static final String HOME = "\u001b[H";
    private static final String CLEAR_LINE_END = "\u001b[K";
    private static final String CLEAR_BELOW = "\u001b[J";

    /** What the Services are sorted by. */
    enum Sort {
        connections(Comparator.comparingDouble(Rates::opened)),
        bytes(Comparator.comparingDouble(Rates::bytes)),
        failures(Comparator.comparingDouble(Rates::failed));

        @SuppressWarnings("ImmutableEnumChecker") // the comparators have no state
        private final Comparator<Rates> order;

        Sort(Comparator<Rates> order) {
            this.order = order;
        }
    }

    @Option(
            names = "--sort",
            paramLabel = "KEY",
            defaultValue = "connections",
            description = "Sort by connections, bytes or failures per second. Default: connections.")
    private Sort sort = Sort.connections;

    @Option(
            names = {"-n", "--namespace"},
            paramLabel = "NAMESPACE",
            description = "Show only Services of this namespace.")
    private @Nullable String namespace;

    @Option(names = "--once", description = "Print one table, measured for a second, and exit.")
    private boolean once;

    /** Counters at one point in time; Services by name. */
    private record Sample(long nanos, Item status, Map<String, Item> services) {}

    private record ServiceRates(Item service, Rates rates) {}

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        Sample before = sample(client);
        if (once || !invocation().terminal().output()) {
            return plain(client, before);
        }
        Runnable restore =
                invocation().terminal().input() ? invocation().terminal().readKeys() : () -> {};
        try {
            out().print(ENTER_SCREEN);
            out().flush();
            live(client, before);
        } finally {
            out().print(LEAVE_SCREEN);
            out().flush();
            restore.run();
        }
        return 0;
    }

    /** Prints one table after the other, for a pipe or a file. */
    private int plain(AdminClient client, Sample first) throws CommandFailedException, InterruptedException {
        Sample before = first;
        do {
            Thread.sleep(INTERVAL_MILLIS);
            Sample now = sample(client);
            frame(before, now, Integer.MAX_VALUE).forEach(out()::println);
            out().println();
            before = now;
        } while (!once && !out().checkError());
        return 0;
    }

    private void live(AdminClient client, Sample first) throws CommandFailedException, InterruptedException {
        Sample earlier = first;
        Sample before = first;
        while (true) {
            int key = awaitKey();
            switch (key) {
                case 'c' -> sort = Sort.connections;
                case 'b' -> sort = Sort.bytes;
                case 'f' -> sort = Sort.failures;
                case 'q', CTRL_C, CTRL_D -> {
                    return;
                }
                default -> {
                    try {
                        earlier = before;
                        before = sample(client);
                    } catch (CommandFailedException e) {
                        if (!e.isTemporary()) {
                            throw e;
                        }
                        draw(List.of(Table.truncated(
                                e.getMessage() + "; retrying", invocation().columns())));
                        continue;
                    }
                }
            }
            if (before.nanos > earlier.nanos) {
                draw(frame(earlier, before, invocation().rows()));
            }
            if (out().checkError()) {
                return;
            }
        }
    }

    /** Waits until the next refresh. Returns early with a key if one is pressed, else 0. */
    private int awaitKey() throws InterruptedException {
        InputStream input = invocation().standardInput();
        for (long waited = 0; waited < INTERVAL_MILLIS; waited += KEY_MILLIS) {
            try {
                if (invocation().terminal().input() && input.available() > 0) {
                    return Math.max(0, input.read());
                }
            } catch (IOException e) {
                // The terminal was closed.
                return 'q';
            }
            Thread.sleep(KEY_MILLIS);
        }
        return 0;
    }

    private void draw(List<String> lines) {
        StringBuilder screen = new StringBuilder(HOME);
        lines.forEach(line -> screen.append(line).append(CLEAR_LINE_END).append("\r\n"));
        out().print(screen.append(CLEAR_BELOW));
        out().flush();
    }

    private Sample sample(AdminClient client) throws CommandFailedException, InterruptedException {
        Item status = client.get(AdminRequest.of("status"));
        Map<String, Item> services = new HashMap<>();
        client.list(AdminRequest.of("services").with("namespace", namespace), Integer.MAX_VALUE)
                .items()
                .forEach(service -> services.put(service.text("service"), service));
        return new Sample(System.nanoTime(), status, services);
    }

    private List<String> frame(Sample before, Sample now, int maxLines) {
        double seconds = (now.nanos - before.nanos) / 1e9;
        List<ServiceRates> services = new ArrayList<>();
        now.services.forEach((name, service) -> services.add(new ServiceRates(
                service, Rates.ofService(before.services.getOrDefault(name, service), service, seconds))));
        services.sort(Comparator.comparing(ServiceRates::rates, sort.order)
                .reversed()
                .thenComparing(each -> each.service().number("active"), Comparator.reverseOrder())
                .thenComparing(each -> each.service().text("service")));
        Item counts = now.status.object("counts");
        int width = invocation().columns();
        List<String> lines = new ArrayList<>();
        lines.add(Table.truncated(
                Table.count(counts.number("connections"), "connection") + ", "
                        + Table.count(counts.number("flows"), "flow") + "; "
                        + Rates.between(before.status, now.status, seconds),
                width));
        lines.add("sorted by " + sort);
        lines.addAll(table(
                services.subList(0, Math.min(services.size(), Math.max(1, maxLines - HEADER_LINES))), width));
        return lines;
    }

    private static List<String> table(List<ServiceRates> services, int width) {
        Table table = new Table("SERVICE", "STATE", "ACTIVE", "NEW/S", "FAILED/S", "TO CLIENT/S", "TO ENDPOINT/S")
                .alignRight(2, 3, 4, 5, 6);
        for (ServiceRates each : services) {
            table.row(
                    each.service.text("service"),
                    each.service.text("state"),
                    each.service.count("active"),
                    HumanUnits.rate(each.rates.opened()),
                    HumanUnits.rate(each.rates.failed()),
                    HumanUnits.bytes(each.rates.bytesToClient()),
                    HumanUnits.bytes(each.rates.bytesToEndpoint()));
        }
        return table.lines(width, false);
    }
}
