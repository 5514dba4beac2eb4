package io.sluice.admin;

import io.sluice.http.Response;
import io.sluice.ops.EventLog;
import io.sluice.ops.EventLog.Event;
import io.sluice.ops.EventLog.Kind;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Recent changes and failures. */
final class EventRoutes {
    private static final List<String> KINDS =
            Stream.of(Kind.values()).map(Kind::text).toList();

    private final EventLog events;

    EventRoutes(EventLog events) {
        this.events = events;
    }

    List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get("/api/v1/events", Set.of("service", "kind", Items.LIMIT, Items.AFTER), this::list));
    }

    private Response list(ApiRequest request) {
        String kind = request.choice("kind", KINDS);
        EventLog.Filter filter = new EventLog.Filter(
                request.text("service"), kind == null ? null : Kind.valueOf(kind.toUpperCase(Locale.ROOT)));
        int limit = Items.limit(request);
        // Read first, so that an event that is added meanwhile is not skipped by the next request.
        long lastId = events.lastId();
        String after = request.text(Items.AFTER);
        List<Event> found = after == null ? events.latest(filter, limit) : events.after(id(after), filter, limit);
        long next = found.size() == limit || lastId == 0
                ? found.isEmpty() ? 0 : found.get(found.size() - 1).id()
                : Math.max(
                        lastId,
                        found.isEmpty() ? 0 : found.get(found.size() - 1).id());
        return Items.response(found.stream().map(EventRoutes::json).toList(), Long.toString(next));
    }

    private static long id(String after) {
        try {
            return Long.parseLong(after);
        } catch (NumberFormatException e) {
            throw ApiRequest.invalid(Items.AFTER, after, "the id of an event");
        }
    }

    private static Map<String, Object> json(Event event) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("id", event.id());
        json.put("time", Items.time(event.time()));
        json.put("kind", event.kind().text());
        json.put("service", event.service());
        json.put("endpoint", event.endpoint());
        json.put("reason", event.reason());
        return json;
    }
}
