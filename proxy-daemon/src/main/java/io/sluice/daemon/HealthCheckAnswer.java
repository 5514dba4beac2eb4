package io.sluice.daemon;

import io.sluice.model.HealthCheck;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.util.DefaultIndenter;
import tools.jackson.core.util.DefaultPrettyPrinter;
import tools.jackson.core.util.Separators;
import tools.jackson.core.util.Separators.Spacing;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** What a load balancer is told of one Service on this node, word for word as kube-proxy says it. */
record HealthCheckAnswer(int status, int localEndpoints, String body) {
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .defaultPrettyPrinter(new DefaultPrettyPrinter(
                            Separators.createDefaultInstance().withObjectNameValueSpacing(Spacing.AFTER))
                    .withObjectIndenter(new DefaultIndenter("\t", "\n")))
            .build();

    private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern(
                    "EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.ENGLISH)
            .withZone(ZoneOffset.UTC);

    /**
     * @param service {@code namespace/name}
     * @param check null for a Service that is gone while its port is still being closed
     */
    static HealthCheckAnswer of(String service, @Nullable HealthCheck check, boolean proxyHealthy) {
        int localEndpoints = check == null ? 0 : check.localEndpoints();
        int slash = service.indexOf('/');
        Map<String, Object> name = new LinkedHashMap<>();
        name.put("namespace", service.substring(0, slash));
        name.put("name", service.substring(slash + 1));
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("service", name);
        body.put("localEndpoints", localEndpoints);
        body.put("serviceProxyHealthy", proxyHealthy);
        return new HealthCheckAnswer(
                localEndpoints > 0 && proxyHealthy ? 200 : 503, localEndpoints, JSON.writeValueAsString(body));
    }

    /** As it goes over the wire; the connection is not used again. */
    byte[] http(boolean withBody, Instant now) {
        byte[] content = body.getBytes(StandardCharsets.UTF_8);
        String text = "HTTP/1.1 " + status + (status == 200 ? " OK" : " Service Unavailable") + "\r\n"
                + "Content-Type: application/json\r\n"
                + "X-Content-Type-Options: nosniff\r\n"
                + "X-Load-Balancing-Endpoint-Weight: " + localEndpoints + "\r\n"
                + "Date: " + DATE.format(now) + "\r\n"
                + "Content-Length: " + content.length + "\r\n"
                + "Connection: close\r\n\r\n"
                + (withBody ? body : "");
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
