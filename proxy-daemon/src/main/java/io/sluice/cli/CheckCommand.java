package io.sluice.cli;

import io.sluice.cli.FeedArguments.FeedInput;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.feed.FileReflector.Reading;
import io.sluice.model.Frontend;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.ops.CheckReport;
import io.sluice.ops.CheckReportParser;
import io.sluice.text.Table;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** {@code sluice check}: validates a feed without serving it. */
@Command(
        name = "check",
        description =
                "Validates a feed or the objects of an API server: lists the Services that 'sluice run' would serve, the"
                        + " problems in the manifests, and the addresses that are not local to this machine. With"
                        + " --live, does the same for the running daemon. Opens no port.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice check --feed manifests/",
            "  kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml",
            "  sluice check --feed cluster.yaml",
            "  sluice check --feed cluster.yaml --map-frontends 10.96.0.0/12=127.96.0.0/12",
            "  sluice check -f cluster.yaml -o json | jq '.problems[]'",
            "  kubectl get services,endpointslices,nodes -A -o yaml | sluice check -f -",
            "  sluice check --kubeconfig admin.conf --node-name node-a",
            "  sluice check --live",
            "",
            "Exit codes: 0 no errors (warnings are possible), 1 errors in the feed, or it cannot be read, 2 invalid"
                    + " command line or configuration, or no feed."
        })
final class CheckCommand implements Callable<Integer> {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /** Output format. */
    enum Output {
        table,
        json
    }

    @Option(
            names = {"-o", "--output"},
            paramLabel = "FORMAT",
            defaultValue = "table",
            description = "Output format: table or json. Default: table.")
    private Output output = Output.table;

    @Mixin
    private FeedArguments arguments = new FeedArguments();

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        CheckReport report = arguments.isLive() ? liveReport() : report();
        PrintWriter out = spec.commandLine().getOut();
        if (output == Output.json) {
            out.println(JSON.writeValueAsString(report.json()));
        } else {
            report.lines().forEach(out::println);
        }
        out.flush();
        return report.count(Severity.ERROR) > 0 ? Main.PROBLEMS : 0;
    }

    private CheckReport report() throws Exception {
        FeedInput input = arguments.resolve(spec, "check");
        Reading reading = input.read();
        Map<String, String> nodePortAddresses = new LinkedHashMap<>();
        reading.tracer()
                .nodePortAddresses()
                .forEach((address, source) -> nodePortAddresses.put(address.toString(), source));
        return new CheckReport(
                reading.snapshot(),
                input.nodeMode() ? reading.problems() : withLocalNotes(input.source(), reading),
                nodePortAddresses,
                CheckReport.paths(reading.snapshot(), input.settings()::socketPath));
    }

    private CheckReport liveReport() throws CommandFailedException, InterruptedException {
        try (AdminClient client = arguments.liveClient(spec)) {
            return CheckReportParser.parse(client.get(AdminRequest.of("check")).json());
        } catch (IllegalArgumentException e) {
            throw CommandFailedException.of("unexpected response of Sluice: " + e.getMessage());
        }
    }

    /** Adds notes about conditions on this machine that are not problems in the feed but affect 'sluice run'. */
    private static List<Problem> withLocalNotes(String feed, Reading reading) throws IOException {
        List<Problem> problems = new ArrayList<>(reading.problems());
        AddressCheck.note(feed, reading.snapshot(), AddressCheck.ofThisMachine())
                .ifPresent(problems::add);
        long resetting = reading.snapshot().sorted().stream()
                .flatMap(port -> port.frontends().stream())
                .filter(CheckCommand::dropsAnyClient)
                .count();
        if (resetting > 0) {
            problems.add(new Problem(
                    Severity.NOTE,
                    feed,
                    "",
                    "",
                    Table.count(resetting, "address")
                            + " should drop packets from some clients; bind mode cannot do so, so it accepts and then"
                            + " resets their connections"));
        }
        return problems;
    }

    /** Returns whether packets of some clients must be dropped. Bind mode learns the client only by accepting. */
    private static boolean dropsAnyClient(Frontend frontend) {
        return frontend.isListening()
                && (!frontend.allowedSources().isEmpty()
                        || Stream.of(Origin.values())
                                .anyMatch(origin -> frontend.route(origin).verdict() == Route.Verdict.DROP));
    }
}
