package io.sluice.ops;

import io.prometheus.metrics.exporter.common.PrometheusScrapeHandler;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.forward.FrontendStatus;
import io.sluice.http.Page;
import io.sluice.http.Request;
import io.sluice.http.Response;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Supplier;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Pages of the metrics port, on kube-proxy's paths and, in addition, on {@code /debug/frontends}. */
public final class MetricsPages {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /**
     * Maximum number of different filtered scrapes that wait to be rendered. Without a limit, requests with many
     * different filters would delay the scrapes of Prometheus.
     */
    private static final int MAX_FILTERED = 8;

    private static final Page TOO_MANY_FILTERS = Page.quick(() -> new Response(
            503,
            "text/plain; charset=utf-8",
            Map.of("Retry-After", "1"),
            "too many scrapes with different name[] parameters\n".getBytes(StandardCharsets.UTF_8)));

    private final PrometheusScrapeHandler handler;
    private final Supplier<List<FrontendStatus>> frontends;
    private final Map<String, Object> configuration;
    /** A page for each kind of scrape without a filter. Prometheus requests one or two kinds. */
    private final Map<MetricsScrape, Page> scrapes = new ConcurrentHashMap<>();
    /** The pages of filtered scrapes that have not begun to render. */
    private final Map<MetricsScrape, Page> filtered = new ConcurrentHashMap<>();

    /**
     * Creates the pages.
     *
     * @param registry the metrics to serve
     */
    public MetricsPages(
            PrometheusRegistry registry, Supplier<List<FrontendStatus>> frontends, Map<String, Object> configuration) {
        this.handler = new PrometheusScrapeHandler(registry);
        this.frontends = frontends;
        this.configuration = configuration;
    }

    /** Returns the page for each path. */
    public Map<String, Function<Request, Page>> pages() {
        Page frontends = Page.slow(() -> Response.json(200, JSON.writeValueAsString(frontends())));
        Page configz =
                Page.quick(() -> Response.json(200, JSON.writeValueAsString(Map.of("sluice.io", configuration))));
        return Map.of(
                "/metrics",
                this::metrics,
                "/healthz",
                request -> Page.quick(() -> Response.text(200, "ok")),
                "/proxyMode",
                request -> Page.quick(() -> Response.text(200, "sluice")),
                "/configz",
                request -> configz,
                "/debug/frontends",
                request -> frontends);
    }

    private Page metrics(Request request) {
        MetricsScrape scrape;
        try {
            scrape = MetricsScrape.of(request);
        } catch (IllegalArgumentException e) {
            return Page.quick(() -> Response.text(400, "invalid query string: " + e.getMessage() + "\n"));
        }
        if (scrape.names().isEmpty()) {
            return scrapes.computeIfAbsent(scrape, each -> Page.slow(() -> each.render(handler)));
        }
        if (filtered.size() >= MAX_FILTERED && !filtered.containsKey(scrape)) {
            return TOO_MANY_FILTERS;
        }
        return filtered.computeIfAbsent(
                scrape,
                each -> Page.slow(() -> {
                    filtered.remove(each);
                    return each.render(handler);
                }));
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
