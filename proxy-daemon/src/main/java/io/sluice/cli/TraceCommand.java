package io.sluice.cli;

import io.sluice.cli.FeedArguments.FeedAndOptions;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.feed.FileReflector.Reading;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Trace.TraceResult;
import io.sluice.rules.Tracer;
import io.sluice.text.Table;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
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
            "",
            "Verdicts: FORWARD to an endpoint, REJECT (TCP RST or ICMP port unreachable), DROP silently, or PASS (left"
                    + " to the kernel).",
            "Exit codes: 0 success, 2 invalid command line or configuration, or no feed."
        })
final class TraceCommand implements Callable<Integer> {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Pattern DESTINATION =
            Pattern.compile("(?:\\[([0-9A-Fa-f:.]+)]|([0-9.]+)):([0-9]{1,5})/([A-Za-z]+)");
    private static final String DESTINATION_FORMAT =
            "IP:PORT/PROTOCOL with protocol tcp, udp or sctp, such as 10.96.0.10:53/udp or [fd00::a]:443/tcp";

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
        FeedAndOptions given = arguments.resolve(spec, "trace");
        if (batch != (from == null) || batch != (to == null)) {
            return usage(
                    batch
                            ? "--batch reads packets from standard input and cannot be combined with --from or --to"
                            : "set --from and --to, or --batch");
        }
        Packet packet = null;
        if (from != null && to != null) {
            try {
                packet = packet(from, to);
            } catch (IllegalArgumentException e) {
                return usage("--" + e.getMessage());
            }
        }
        Reading reading = given.read();
        reportProblems(reading.problems());
        PrintWriter out = spec.commandLine().getOut();
        if (packet == null) {
            traceBatch(reading.tracer(), out);
        } else if (output == Output.json) {
            out.println(JSON.writeValueAsString(json(reading.tracer().trace(packet))));
        } else {
            print(packet, reading.tracer().trace(packet), out);
        }
        out.flush();
        return 0;
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

    private void traceBatch(Tracer tracer, PrintWriter out) throws IOException {
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(Main.standardInput(spec), StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> result;
            try {
                String[] words = line.strip().split("\\s+");
                if (words.length != 2) {
                    throw new IllegalArgumentException(Problem.quoted(line) + " is invalid; must be FROM TO");
                }
                result = json(tracer.trace(packet(words[0], words[1])));
            } catch (IllegalArgumentException e) {
                result = Map.of("error", String.valueOf(e.getMessage()));
            }
            out.println(JSON.writeValueAsString(result));
        }
    }

    /** @throws IllegalArgumentException if an argument is invalid; the message is meant for the user */
    private static Packet packet(String from, String to) {
        IpAddress client = IpAddress.parse(from);
        if (client == null) {
            throw new IllegalArgumentException(
                    "from: " + Problem.quoted(from) + " is invalid; must be an IPv4 or IPv6 address");
        }
        Matcher matcher = DESTINATION.matcher(to);
        IpAddress address = null;
        int port = 0;
        String protocol = "";
        if (matcher.matches()) {
            address = IpAddress.parse(matcher.group(1) == null ? matcher.group(2) : matcher.group(1));
            port = Integer.parseInt(matcher.group(3));
            protocol = matcher.group(4).toLowerCase(Locale.ROOT);
        }
        if (address == null
                || port < 1
                || port > 65_535
                || !List.of("tcp", "udp", "sctp").contains(protocol)) {
            throw new IllegalArgumentException(
                    "to: " + Problem.quoted(to) + " is invalid; must be " + DESTINATION_FORMAT);
        }
        return new Packet(
                client,
                address,
                port,
                protocol.equals("sctp") ? null : Protocol.valueOf(protocol.toUpperCase(Locale.ROOT)));
    }

    private static Map<String, Object> json(TraceResult result) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("verdict", result.verdict().toString());
        json.put("frontend", result.frontend());
        json.put("service", result.service());
        json.put("endpoints", result.endpoints().stream().map(Object::toString).toList());
        json.put("sourceAddress", result.source().toString());
        json.put("reason", result.reason());
        return json;
    }

    private static void print(Packet packet, TraceResult result, PrintWriter out) {
        out.println(packet.from() + " -> " + packet.destination());
        result.details().forEach((heading, lines) -> {
            String head = heading;
            for (String line : lines) {
                out.printf("  %-10s %s%n", head, line);
                head = "";
            }
        });
        int endpoints = result.endpoints().size();
        out.printf(
                "  %-10s %s: %s%n",
                "verdict",
                result.verdict(),
                endpoints == 0
                        ? result.reason()
                        : "to " + Table.count(endpoints, "endpoint") + (endpoints == 1 ? "" : ", round robin"));
    }
}
