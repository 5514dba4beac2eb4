package io.sluice.cli;

import io.sluice.cli.FeedArguments.FeedAndOptions;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.feed.FileReflector.Reading;
import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.ops.ServiceTable;
import io.sluice.rules.Trace;
import io.sluice.text.Table;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
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
                "Validates a feed: lists the Services that 'sluice run' would serve, the problems in the manifests, and"
                        + " the addresses that are not local to this machine. Opens no port.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice check --feed manifests/",
            "  kubectl get services,endpointslices,nodes -A -o yaml > cluster.yaml",
            "  sluice check --feed cluster.yaml",
            "  sluice check --feed cluster.yaml --map-frontends 10.96.0.0/12=127.96.0.0/12",
            "  sluice check --feed cluster.yaml -o json | jq '.problems[]'",
            "",
            "Exit codes: 0 no errors (warnings are possible), 1 errors in the feed, 2 invalid command line or"
                    + " configuration, or no feed."
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
        FeedAndOptions given = arguments.resolve(spec, "check");
        Reading read = given.read();
        Reading reading = given.nodeMode() ? read : withLocalNotes(given.feed(), read);
        PrintWriter out = spec.commandLine().getOut();
        if (output == Output.json) {
            out.println(JSON.writeValueAsString(json(reading)));
        } else {
            print(reading, out);
        }
        out.flush();
        return count(reading, Severity.ERROR) > 0 ? Main.PROBLEMS : 0;
    }

    /** Adds notes about conditions on this machine that are not problems in the feed but affect 'sluice run'. */
    private static Reading withLocalNotes(Path feed, Reading reading) throws IOException {
        List<Problem> problems = new ArrayList<>(reading.problems());
        AddressCheck.note(feed.toString(), reading.snapshot(), AddressCheck.ofThisMachine())
                .ifPresent(problems::add);
        long resetting = reading.snapshot().sorted().stream()
                .flatMap(port -> port.frontends().stream())
                .filter(CheckCommand::dropsAnyClient)
                .count();
        if (resetting > 0) {
            problems.add(new Problem(
                    Severity.NOTE,
                    feed.toString(),
                    "",
                    "",
                    Table.count(resetting, "address")
                            + " should drop packets from some clients; bind mode cannot do so, so it accepts and then"
                            + " resets their connections"));
        }
        return new Reading(reading.snapshot(), problems, reading.tracer());
    }

    /** Returns whether packets of some clients must be dropped. Bind mode learns the client only by accepting. */
    private static boolean dropsAnyClient(Frontend frontend) {
        return frontend.forwardsAny()
                && (!frontend.allowedSources().isEmpty()
                        || Stream.of(Origin.values())
                                .anyMatch(origin -> frontend.route(origin).verdict() == Route.Verdict.DROP));
    }

    private static void print(Reading reading, PrintWriter out) {
        if (reading.snapshot().size() > 0) {
            ServiceTable.lines(reading.snapshot()).forEach(out::println);
            out.println();
            if (hasNodePorts(reading)) {
                out.println("NodePorts are served on:");
                reading.tracer()
                        .nodePortAddresses()
                        .forEach((address, source) -> out.println("  " + address + ", " + source));
                out.println();
            }
        }
        for (Severity severity : Severity.values()) {
            reading.problems().stream()
                    .filter(problem -> problem.severity() == severity)
                    .forEach(problem -> out.printf("%-8s %s%n", name(severity), problem));
        }
        if (!reading.problems().isEmpty()) {
            out.println();
        }
        out.println(summary(reading));
    }

    private static boolean hasNodePorts(Reading reading) {
        return reading.snapshot().sorted().stream()
                .flatMap(port -> port.frontends().stream())
                .anyMatch(frontend -> frontend.kind() == Frontend.Kind.NODE_PORT);
    }

    private static String summary(Reading reading) {
        long services = reading.snapshot().sorted().stream()
                .map(port -> port.name().serviceName())
                .distinct()
                .count();
        long addresses = reading.snapshot().sorted().stream()
                .mapToLong(port -> port.frontends().size())
                .sum();
        return Table.count(services, "service") + ", " + Table.count(addresses, "address") + "; "
                + Table.count(count(reading, Severity.ERROR), "error") + ", "
                + Table.count(count(reading, Severity.WARNING), "warning") + ", "
                + Table.count(count(reading, Severity.NOTE), "note");
    }

    private static long count(Reading reading, Severity severity) {
        return reading.problems().stream()
                .filter(problem -> problem.severity() == severity)
                .count();
    }

    private static String name(Severity severity) {
        return severity.name().toLowerCase(Locale.ROOT);
    }

    private static Map<String, Object> json(Reading reading) {
        List<Map<String, Object>> services = new ArrayList<>();
        for (ServicePort port : reading.snapshot().sorted()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("namespace", port.name().namespace());
            one.put("service", port.name().service());
            one.put("port", port.name().port());
            one.put("protocol", port.name().protocol().text());
            one.put(
                    "addresses",
                    port.frontends().stream().map(CheckCommand::json).toList());
            one.put("affinityTimeoutSeconds", port.affinity().timeoutSeconds());
            services.add(one);
        }
        List<Map<String, Object>> problems = new ArrayList<>();
        for (Problem problem : reading.problems()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("severity", name(problem.severity()));
            one.put("source", problem.source());
            one.put("object", problem.object());
            one.put("field", problem.field());
            one.put("message", problem.message());
            problems.add(one);
        }
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("services", services);
        Map<String, String> nodePortAddresses = new LinkedHashMap<>();
        reading.tracer()
                .nodePortAddresses()
                .forEach((address, source) -> nodePortAddresses.put(address.toString(), source));
        all.put("nodePortAddresses", nodePortAddresses);
        all.put("problems", problems);
        return all;
    }

    private static Map<String, Object> json(Frontend frontend) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("address", frontend.address().toString());
        one.put("kind", frontend.kind());
        one.put(
                "allowedSources",
                frontend.allowedSources().stream().map(Cidr::toString).toList());
        one.put("endpoints", strings(frontend.external()));
        Map<String, Object> routes = new LinkedHashMap<>();
        for (Origin origin : Origin.values()) {
            routes.put(origin.name().toLowerCase(Locale.ROOT), json(frontend.route(origin)));
        }
        // The name of this key in version 0.1.0.
        routes.put("outside", Objects.requireNonNull(routes.get("external")));
        one.put("routes", routes);
        return one;
    }

    private static Map<String, Object> json(Route route) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("verdict", Trace.Verdict.of(route));
        one.put("endpoints", strings(route));
        if (route.verdict() == Route.Verdict.FORWARD) {
            one.put("sourceAddress", route.source());
        }
        return one;
    }

    private static List<String> strings(Route route) {
        return route.endpoints().stream().map(Object::toString).toList();
    }
}
