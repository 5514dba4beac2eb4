package io.sluice.daemon;

import io.sluice.daemon.HttpPort.Answer;
import io.sluice.daemon.HttpPort.Page;
import io.sluice.forward.FrontendStatus;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** What the metrics port answers, on the paths kube-proxy uses; {@code /debug/frontends} is our own. */
final class MetricsPages {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    private final Metrics metrics;
    private final Supplier<DaemonState> state;
    private final Map<String, Object> configuration;

    MetricsPages(Metrics metrics, Supplier<DaemonState> state, Map<String, Object> configuration) {
        this.metrics = metrics;
        this.state = state;
        this.configuration = configuration;
    }

    Map<String, Page> pages() {
        return Map.of(
                "/metrics",
                query -> new Answer(
                        200,
                        Metrics.CONTENT_TYPE,
                        metrics.scrape(Arrays.asList(query.split("&")).contains("timings=service"))),
                "/healthz",
                query -> Answer.text(200, "ok"),
                "/proxyMode",
                query -> Answer.text(200, "sluice"),
                "/configz",
                query -> Answer.json(200, JSON.writeValueAsString(Map.of("sluice.io", configuration))),
                "/debug/frontends",
                query -> Answer.json(200, JSON.writeValueAsString(frontends())));
    }

    private List<Map<String, Object>> frontends() {
        List<Map<String, Object>> all = new ArrayList<>();
        for (FrontendStatus status : state.get().frontends()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("address", status.address().toString());
            one.put("service", status.service().toString());
            one.put("state", status.state());
            if (!status.reason().isEmpty()) {
                one.put("failure", status.failure());
                one.put("reason", StateLog.reason(status));
            }
            one.put("since", status.since().toString());
            all.add(one);
        }
        return all;
    }
}
