package io.sluice.admin;

import io.sluice.http.Response;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Lists as JSON: {@code {"items": […], "next": TOKEN}}. */
final class Items {
    static final String LIMIT = "limit";
    static final String AFTER = "after";
    private static final int DEFAULT_LIMIT = 500;
    private static final int MAX_LIMIT = 5_000;

    /** Three digits also if they are zero, unlike {@link Instant#toString}. */
    private static final DateTimeFormatter MILLIS =
            new DateTimeFormatterBuilder().appendInstant(3).toFormatter();

    private Items() {}

    static int limit(ApiRequest request) {
        return request.number(LIMIT, DEFAULT_LIMIT, 1, MAX_LIMIT);
    }

    /**
     * Returns the part of a list that the request asks for.
     *
     * @param all the list, in the order of the keys; read only up to the end of the page
     * @param keyOf the key of an element, which is unique and serves as the token
     * @param json converts an element; called only for those on the page
     */
    static <T> Response page(
            ApiRequest request, Stream<T> all, Function<T, String> keyOf, Function<T, Map<String, Object>> json) {
        String after = request.text(AFTER);
        int limit = limit(request);
        List<Map<String, Object>> items = new ArrayList<>();
        String last = null;
        for (Iterator<T> rest = all.iterator(); rest.hasNext(); ) {
            T each = rest.next();
            String key = keyOf.apply(each);
            if (after != null && key.compareTo(after) <= 0) {
                continue;
            }
            if (items.size() == limit) {
                return response(items, last);
            }
            items.add(json.apply(each));
            last = key;
        }
        return response(items, null);
    }

    static Response response(List<Map<String, Object>> items, @Nullable String next) {
        Map<String, @Nullable Object> body = new LinkedHashMap<>();
        body.put("items", items);
        body.put("next", next);
        return AdminRoutes.json(200, body);
    }

    /** A time in RFC 3339 with milliseconds; null for {@link Instant#EPOCH}, which stands for never. */
    static @Nullable String time(@Nullable Instant time) {
        return time == null || time.equals(Instant.EPOCH) ? null : MILLIS.format(time);
    }

    /** A duration in seconds with milliseconds. */
    static double seconds(long nanos) {
        return TimeUnit.NANOSECONDS.toMillis(nanos) / 1e3;
    }
}
