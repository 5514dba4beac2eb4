package io.sluice.cli;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code sluice status}: summarizes whether a running daemon works. */
@Command(
        name = "status",
        description = "Summarizes a running Sluice in less than 20 lines: whether it is ready, how current its feed is,"
                + " how much traffic it forwards now (measured for a second), and what fails.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice status",
            "  kubectl -n kube-system exec sluice-x7k2p -- sluice status",
            "  sluice status --server http://localhost:8001/api/v1/namespaces/kube-system/pods/sluice-x7k2p:10261/proxy",
            "",
            "Exit codes: 0 ready, 1 not ready or not reachable, 2 invalid command line."
        })
final class StatusCommand extends AdminCommand {
    private static final long SAMPLE_MILLIS = 1_000;

    /** States of endpoints that do not answer. */
    private static final List<String> FAILING = List.of("refusing", "silent", "ejected");

    /** Output format. */
    enum Output {
        text,
        json
    }

    @Option(
            names = {"-o", "--output"},
            paramLabel = "FORMAT",
            defaultValue = "text",
            description = "Output format: text or json. Default: text.")
    private Output output = Output.text;

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        AdminRequest request = AdminRequest.of("status");
        Item first = client.get(request);
        if (output == Output.json) {
            printJson(first.json());
            return exitCode(first);
        }
        long firstNanos = System.nanoTime();
        Thread.sleep(SAMPLE_MILLIS);
        Item status = client.get(request);
        double seconds = (System.nanoTime() - firstNanos) / 1e9;
        List<Item> failing = new ArrayList<>();
        Map<String, Long> endpoints =
                status.object("counts").object("endpoints").numbers();
        for (String state : FAILING) {
            int rest = StatusReport.MAX_FAILING - failing.size();
            if (rest > 0 && endpoints.getOrDefault(state, 0L) > 0) {
                failing.addAll(client.page(AdminRequest.of("endpoints")
                                .with("state", state)
                                .with("limit", String.valueOf(rest)))
                        .items());
            }
        }
        int width = invocation().columns();
        StatusReport report = new StatusReport(status, Rates.between(first, status, seconds), failing, Instant.now());
        report.lines(width).forEach(out()::println);
        return exitCode(status);
    }

    private static int exitCode(Item status) {
        return status.isTrue("ready") ? 0 : 1;
    }
}
