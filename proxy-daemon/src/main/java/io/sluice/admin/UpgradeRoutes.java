package io.sluice.admin;

import io.sluice.handover.Upgrade;
import io.sluice.http.Response;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Starts the process that replaces this one, and reports whether that has failed. */
final class UpgradeRoutes {
    private static final String PATH = "/api/v1/upgrade";
    private static final String TIMEOUT = "timeout";
    private static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(5);
    private static final Duration LONGEST_TIMEOUT = Duration.ofHours(1);

    private final Upgrade upgrade;

    UpgradeRoutes(Upgrade upgrade) {
        this.upgrade = upgrade;
    }

    List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get(PATH, Set.of(), request -> AdminRoutes.json(200, json(upgrade.status()))),
                new AdminRoute("POST", PATH, Set.of(TIMEOUT), this::start));
    }

    private Response start(ApiRequest request) {
        Duration timeout = request.duration(TIMEOUT, Duration.ofSeconds(1), LONGEST_TIMEOUT);
        try {
            return AdminRoutes.json(202, json(upgrade.start(timeout == null ? DEFAULT_TIMEOUT : timeout)));
        } catch (IllegalStateException e) {
            throw new ApiException(409, String.valueOf(e.getMessage()));
        }
    }

    private static Map<String, @Nullable Object> json(Upgrade.Status status) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("state", status.state().name().toLowerCase(Locale.ROOT));
        json.put("pid", status.pid() == 0 ? null : status.pid());
        json.put("reason", status.reason());
        return json;
    }
}
