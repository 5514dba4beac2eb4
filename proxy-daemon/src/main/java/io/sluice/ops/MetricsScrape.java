package io.sluice.ops;

import io.prometheus.metrics.exporter.common.PrometheusHttpExchange;
import io.prometheus.metrics.exporter.common.PrometheusHttpRequest;
import io.prometheus.metrics.exporter.common.PrometheusHttpResponse;
import io.prometheus.metrics.exporter.common.PrometheusScrapeHandler;
import io.prometheus.metrics.expositionformats.OpenMetricsTextFormatWriter;
import io.sluice.http.Request;
import io.sluice.http.Response;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The response that a scrape requests, as a value: equal scrapes share a rendering. Passes to the Prometheus client only
 * the headers and parameters that are part of the value.
 *
 * @param openMetrics whether to write OpenMetrics instead of the Prometheus text format
 * @param timings whether to include histograms for each Service
 * @param names the metrics to write, sorted; all metrics if empty
 */
record MetricsScrape(boolean openMetrics, boolean gzip, boolean timings, List<String> names)
        implements PrometheusHttpRequest {
    private static final OpenMetricsTextFormatWriter OPEN_METRICS = OpenMetricsTextFormatWriter.create();
    private static final String OPEN_METRICS_TYPE = "application/openmetrics-text;version=1.0.0";
    /** An element of Accept-Encoding that accepts gzip; a weight of 0 would reject it. */
    private static final Pattern GZIP =
            Pattern.compile("gzip(\\s*;\\s*q=(0\\.0*[1-9]\\d*|1(\\.0*)?))?", Pattern.CASE_INSENSITIVE);

    /**
     * Reads the headers and parameters of a request.
     *
     * @throws IllegalArgumentException if the query string contains an invalid escape
     */
    static MetricsScrape of(Request request) {
        String accept = request.header("Accept");
        boolean timings = false;
        TreeSet<String> names = new TreeSet<>();
        for (String parameter : request.query().split("&")) {
            String decoded = URLDecoder.decode(parameter, StandardCharsets.UTF_8);
            timings |= decoded.equals("timings=service");
            if (decoded.startsWith("name[]=")) {
                names.add(decoded.substring("name[]=".length()));
            }
        }
        return new MetricsScrape(
                OPEN_METRICS.accepts(accept),
                Stream.of(request.header("Accept-Encoding").split(","))
                        .anyMatch(each -> GZIP.matcher(each.strip()).matches()),
                timings,
                List.copyOf(names));
    }

    /** Renders the metrics of the handler's registry. */
    Response render(PrometheusScrapeHandler handler) throws IOException {
        Exchange exchange = new Exchange(this);
        handler.handleRequest(exchange);
        return exchange.response();
    }

    @Override
    public Enumeration<String> getHeaders(String name) {
        return switch (name) {
            case "Accept" -> values(openMetrics, OPEN_METRICS_TYPE);
            case "Accept-Encoding" -> values(gzip, "gzip");
            default -> Collections.emptyEnumeration();
        };
    }

    private static Enumeration<String> values(boolean present, String value) {
        return Collections.enumeration(present ? List.of(value) : List.of());
    }

    @Override
    public String @Nullable [] getParameterValues(String name) {
        return switch (name) {
            case "timings" -> timings ? new String[] {"service"} : null;
            case "name[]" -> names.isEmpty() ? null : names.toArray(String[]::new);
            default -> null;
        };
    }

    @Override
    public String getMethod() {
        return "GET";
    }

    @Override
    public String getRequestPath() {
        return "/metrics";
    }

    @Override
    public String getQueryString() {
        return "";
    }

    /** One call of the handler. */
    private static final class Exchange implements PrometheusHttpExchange, PrometheusHttpResponse {
        private final MetricsScrape request;
        private final Map<String, String> headers = new HashMap<>();
        private final ByteArrayOutputStream body = new ByteArrayOutputStream(64 * 1024);
        private int status;

        Exchange(MetricsScrape request) {
            this.request = request;
        }

        Response response() {
            String type = headers.getOrDefault("Content-Type", "text/plain; charset=utf-8");
            // The server sets the length itself.
            headers.keySet().removeAll(List.of("Content-Type", "Content-Length"));
            return new Response(status, type, headers, body.toByteArray());
        }

        @Override
        public void setHeader(String name, String value) {
            headers.put(name, value);
        }

        @Override
        public OutputStream sendHeadersAndGetBody(int statusCode, int contentLength) {
            status = statusCode;
            return body;
        }

        @Override
        public PrometheusHttpRequest getRequest() {
            return request;
        }

        @Override
        public PrometheusHttpResponse getResponse() {
            return this;
        }

        @Override
        public void handleException(IOException e) throws IOException {
            throw e;
        }

        @Override
        public void handleException(RuntimeException e) {
            throw e;
        }

        @Override
        public void close() {}
    }
}
