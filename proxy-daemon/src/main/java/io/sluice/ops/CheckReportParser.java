package io.sluice.ops;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.rules.PolicyValues;
import io.sluice.socketlb.SocketPath;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/** Reads the JSON of a {@link CheckReport}. */
public final class CheckReportParser {
    private CheckReportParser() {}

    /**
     * Parses a report. Control characters of its strings are escaped.
     *
     * @throws IllegalArgumentException if the JSON is not a report of a compatible version
     */
    public static CheckReport parse(JsonNode json) {
        try {
            Map<String, String> nodePortAddresses = new LinkedHashMap<>();
            json.path("nodePortAddresses")
                    .properties()
                    .forEach(entry -> nodePortAddresses.put(
                            Problem.oneLine(entry.getKey()),
                            Problem.oneLine(entry.getValue().asString(""))));
            return new CheckReport(
                    ServiceSnapshot.of(array(json, "services")
                            .valueStream()
                            .map(CheckReportParser::servicePort)
                            .toArray(ServicePort[]::new)),
                    array(json, "problems")
                            .valueStream()
                            .map(CheckReportParser::problem)
                            .toList(),
                    nodePortAddresses,
                    paths(json));
        } catch (NullPointerException e) {
            throw new IllegalArgumentException("an address or range is invalid", e);
        }
    }

    private static Map<FrontendAddress, SocketPath> paths(JsonNode json) {
        Map<FrontendAddress, SocketPath> paths = new HashMap<>();
        json.path("services")
                .valueStream()
                .flatMap(service -> service.path("addresses").valueStream())
                .filter(address -> address.has("path"))
                .forEach(address -> paths.put(
                        frontendAddress(text(address, "address")),
                        new SocketPath(text(address, "path").equals("socket"), text(address, "pathReason"))));
        return paths;
    }

    private static JsonNode array(JsonNode json, String field) {
        if (!json.path(field).isArray()) {
            throw new IllegalArgumentException("field '" + field + "' is not an array");
        }
        return json.path(field);
    }

    private static ServicePort servicePort(JsonNode json) {
        return new ServicePort(
                new ServicePortName(
                        text(json, "namespace"),
                        text(json, "service"),
                        text(json, "port"),
                        protocol(text(json, "protocol"))),
                new SessionAffinity(json.path("affinityTimeoutSeconds").asInt(0)),
                policy(json.path("policy")),
                Set.of(),
                Set.of(),
                array(json, "addresses")
                        .valueStream()
                        .map(CheckReportParser::frontend)
                        .toList());
    }

    private static TrafficPolicy policy(JsonNode json) {
        Map<String, String> texts = new LinkedHashMap<>();
        json.properties()
                .forEach(entry -> texts.put(entry.getKey(), entry.getValue().asString("")));
        return PolicyValues.ofTexts(texts).policy();
    }

    private static Frontend frontend(JsonNode json) {
        JsonNode routes = json.path("routes");
        return new Frontend(
                Frontend.Kind.valueOf(text(json, "kind")),
                frontendAddress(text(json, "address")),
                route(routes.path("pod")),
                route(routes.path("node")),
                route(routes.path("external")),
                strings(json, "allowedSources").stream()
                        .map(range -> Objects.requireNonNull(Cidr.parse(range)))
                        .toList());
    }

    private static Route route(JsonNode json) {
        return new Route(
                Route.Verdict.valueOf(text(json, "verdict")),
                strings(json, "endpoints").stream()
                        .map(CheckReportParser::endpoint)
                        .toList(),
                text(json, "sourceAddress").equals("CLIENT") ? Route.Source.CLIENT : Route.Source.NODE);
    }

    private static FrontendAddress frontendAddress(String text) {
        int slash = text.lastIndexOf('/');
        Endpoint addressAndPort = endpoint(text.substring(0, Math.max(0, slash)));
        return new FrontendAddress(
                protocol(text.substring(slash + 1)), addressAndPort.address(), addressAndPort.port());
    }

    private static Endpoint endpoint(String text) {
        return Objects.requireNonNull(Endpoint.parse(text));
    }

    private static Protocol protocol(String text) {
        return Protocol.valueOf(text.toUpperCase(Locale.ROOT));
    }

    private static Problem problem(JsonNode json) {
        return new Problem(
                Severity.valueOf(text(json, "severity").toUpperCase(Locale.ROOT)),
                text(json, "source"),
                text(json, "object"),
                text(json, "field"),
                text(json, "message"));
    }

    private static String text(JsonNode json, String field) {
        return Problem.oneLine(json.path(field).asString(""));
    }

    private static List<String> strings(JsonNode json, String field) {
        return json.path(field).valueStream().map(value -> value.asString("")).toList();
    }
}
