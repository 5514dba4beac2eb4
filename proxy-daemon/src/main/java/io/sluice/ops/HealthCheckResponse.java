package io.sluice.ops;

import io.sluice.http.Response;
import io.sluice.model.HealthCheck;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.util.DefaultIndenter;
import tools.jackson.core.util.DefaultPrettyPrinter;
import tools.jackson.core.util.Separators;
import tools.jackson.core.util.Separators.Spacing;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Health check response for one Service on this node, with the status, header and body that kube-proxy sends. */
final class HealthCheckResponse {
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .defaultPrettyPrinter(new DefaultPrettyPrinter(
                            Separators.createDefaultInstance().withObjectNameValueSpacing(Spacing.AFTER))
                    .withObjectIndenter(new DefaultIndenter("\t", "\n")))
            .build();

    private HealthCheckResponse() {}

    /**
     * Creates and returns the response.
     *
     * @param service {@code namespace/name}
     * @param check health check to report; null if the Service was removed while a connection to its port was open
     */
    static Response of(String service, @Nullable HealthCheck check, boolean proxyHealthy) {
        int localEndpoints = check == null ? 0 : check.localEndpoints();
        int slash = service.indexOf('/');
        Map<String, Object> name = new LinkedHashMap<>();
        name.put("namespace", service.substring(0, slash));
        name.put("name", service.substring(slash + 1));
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("service", name);
        body.put("localEndpoints", localEndpoints);
        body.put("serviceProxyHealthy", proxyHealthy);
        return new Response(
                localEndpoints > 0 && proxyHealthy ? 200 : 503,
                "application/json",
                Map.of("X-Load-Balancing-Endpoint-Weight", Integer.toString(localEndpoints)),
                JSON.writeValueAsString(body).getBytes(StandardCharsets.UTF_8));
    }
}
