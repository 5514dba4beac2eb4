package io.sluice.cli;

import io.sluice.cli.FeedArguments.FeedInput;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.feed.FileReflector.Reading;
import io.sluice.ops.TraceReport;
import io.sluice.rules.Trace.Packet;
import io.sluice.text.Table;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.json.JsonMapper;

/** {@code sluice trace}: explains how a packet is handled. */
@Command(
        name = "trace",
        description = "Explains how the first packet of a connection or flow is handled: frontend, traffic policy,"
                + " endpoints, source address and verdict. Opens no port and sends nothing.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice trace --feed cluster.yaml --from 10.244.1.5 --to 10.96.0.10:53/udp",
            "  sluice trace --feed cluster.yaml --node-name node-a --cluster-cidr 10.244.0.0/16 \\",
            "      --from 203.0.113.9 --to 192.168.0.2:30080/tcp -o json",
            "  echo '10.244.1.5 [fd00::a]:443/tcp' | sluice trace --feed cluster.yaml --batch",
            "  sluice trace --live --from 10.244.1.5 --to 10.96.0.10:53/udp",
            "",
            "Verdicts: FORWARD to an endpoint, REJECT (TCP RST or ICMP port unreachable), DROP silently, or PASS (left"
                    + " to the kernel).",
            "Exit codes: 0 success, 1 the API server or Sluice cannot be reached, 2 invalid command line or configuration,"
                    + " or no feed."
        })
final class TraceCommand implements Callable<Integer> {
    private static final JsonMapper JSON = JsonMapper.builder().build();

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

    @Option(names = "--from", paramLabel = "IP", description = "Address of the client.")
    private @Nullable String from;

    @Option(
            names = "--to",
            paramLabel = "IP:PORT/PROTOCOL",
            description = "Destination, such as 10.96.0.10:53/udp or [fd00::a]:443/tcp.")
    private @Nullable String to;

    @Option(
            names = "--batch",
            description = "Read lines of the form 'FROM TO' from standard input, and print a line of JSON for each.")
    private boolean batch;

    @Mixin
    private FeedArguments arguments = new FeedArguments();

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    @Override
    public Integer call() throws Exception {
        if (batch != (from == null) || batch != (to == null)) {
            return usage(
                    batch
                            ? "--batch reads packets from standard input and cannot be combined with --from or --to"
                            : "set --from and --to, or --batch");
        }
        Packet packet = null;
        if (from != null && to != null) {
            try {
                packet = TraceReport.packet(from, to);
            } catch (IllegalArgumentException e) {
                return usage("--" + e.getMessage());
            }
        }
        if (arguments.isLive()) {
            try (AdminClient client = arguments.liveClient(spec)) {
                print(packet, each -> live(client, each));
            }
            return 0;
        }
        FeedInput input = arguments.resolve(spec, "trace");
        if (batch && input.isStandardInput()) {
            return usage("--batch cannot be combined with '-f -', because both read standard input");
        }
        Reading reading = input.read();
        reportProblems(reading.problems());
        print(packet, each -> TraceReport.of(reading.tracer().trace(each), input.settings()::socketPath));
        return 0;
    }

    /** Evaluates a packet, or asks the running daemon to do so. */
    @FunctionalInterface
    private interface Evaluation {
        TraceReport report(Packet packet) throws CommandFailedException, InterruptedException;
    }

    private static TraceReport live(AdminClient client, Packet packet)
            throws CommandFailedException, InterruptedException {
        return TraceReport.parse(client.get(AdminRequest.of("trace")
                        .with("from", packet.from().toString())
                        .with("to", packet.destination()))
                .json());
    }

    /** Prints the result for one packet, or for each packet of standard input if it is null. */
    private void print(@Nullable Packet packet, Evaluation evaluation)
            throws CommandFailedException, InterruptedException, IOException {
        PrintWriter out = spec.commandLine().getOut();
        if (packet == null) {
            traceBatch(evaluation, out);
        } else if (output == Output.json) {
            out.println(JSON.writeValueAsString(evaluation.report(packet).json(false)));
        } else {
            evaluation.report(packet).lines(packet).forEach(out::println);
        }
        out.flush();
    }

    private int usage(@Nullable String message) {
        spec.commandLine().getErr().println("sluice: " + message);
        return Main.USAGE;
    }

    /** Prints the number of errors in the feed, because they may explain the result. */
    private void reportProblems(List<Problem> problems) {
        long errors = problems.stream()
                .filter(problem -> problem.severity() == Severity.ERROR)
                .count();
        if (errors > 0) {
            spec.commandLine()
                    .getErr()
                    .println("sluice: the feed has " + Table.count(errors, "error") + "; 'sluice check' lists them");
        }
    }

    private void traceBatch(Evaluation evaluation, PrintWriter out)
            throws CommandFailedException, InterruptedException, IOException {
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(Main.standardInput(spec), StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> result;
            try {
                String[] words = line.strip().split("\\s+");
                if (words.length != 2) {
                    throw new IllegalArgumentException(Problem.quoted(line) + " is invalid; must be FROM TO");
                }
                result = evaluation
                        .report(TraceReport.packet(words[0], words[1]))
                        .json(false);
            } catch (IllegalArgumentException e) {
                result = Map.of("error", String.valueOf(e.getMessage()));
            }
            out.println(JSON.writeValueAsString(result));
            // The reader of the results may exit before standard input ends.
            if (out.checkError()) {
                return;
            }
        }
    }
}
