package io.sluice.ops;

import io.sluice.forward.FrontendStatus;
import io.sluice.http.Page;
import io.sluice.http.Response;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Pages of the metrics port, on kube-proxy's paths and, in addition, on {@code /debug/frontends}. */
public final class MetricsPages {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    private final Metrics metrics;
    private final Supplier<List<FrontendStatus>> frontends;
    private final Map<String, Object> configuration;

    public MetricsPages(Metrics metrics, Supplier<List<FrontendStatus>> frontends, Map<String, Object> configuration) {
        this.metrics = metrics;
        this.frontends = frontends;
        this.configuration = configuration;
    }

    /** Returns the page for each path. */
    public Map<String, Function<String, Page>> pages() {
        Page plain = Page.slow(() -> scrape(false));
        Page withTimings = Page.slow(() -> scrape(true));
        Page frontends = Page.slow(() -> Response.json(200, JSON.writeValueAsString(frontends())));
        Page configz =
                Page.quick(() -> Response.json(200, JSON.writeValueAsString(Map.of("sluice.io", configuration))));
        return Map.of(
                "/metrics",
                query -> Arrays.asList(query.split("&")).contains("timings=service") ? withTimings : plain,
                "/healthz",
                query -> Page.quick(() -> Response.text(200, "ok")),
                "/proxyMode",
                query -> Page.quick(() -> Response.text(200, "sluice")),
                "/configz",
                query -> configz,
                "/debug/frontends",
                query -> frontends);
    }

    private Response scrape(boolean timingsPerService) throws IOException {
        byte[] text = metrics.scrape(timingsPerService).getBytes(StandardCharsets.UTF_8);
        return new Response(200, Metrics.CONTENT_TYPE, Map.of(), text);
    }

    private List<Map<String, Object>> frontends() {
        List<Map<String, Object>> all = new ArrayList<>();
        for (FrontendStatus status : frontends.get()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("address", status.address().toString());
            one.put("service", status.service().toString());
            one.put("state", status.state());
            if (!status.reason().isEmpty()) {
                one.put("failure", status.failure());
                one.put("reason", StateChangeLog.reason(status));
            }
            one.put("since", status.since().toString());
            all.add(one);
        }
        return all;
    }
}
