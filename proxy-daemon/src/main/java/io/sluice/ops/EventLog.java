package io.sluice.ops;

import io.sluice.document.Problem;
import io.sluice.model.Endpoint;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The last 1,000 changes and failures, for the admin API. Thread-safe. */
public final class EventLog {
    /** Maximum number of events; each new event removes the oldest one. */
    static final int CAPACITY = 1_000;

    private static final Logger log = LoggerFactory.getLogger(EventLog.class);

    private final Deque<Event> events = new ArrayDeque<>(CAPACITY);
    private long lastId;

    /** The kind of an event. */
    public enum Kind {
        /** A configuration change was applied, or an operator changed an endpoint. */
        CHANGE,
        /** An endpoint or a frontend started to fail. */
        FAILURE,
        /** An endpoint or a frontend works again. */
        RECOVERY;

        /** The name in the admin API. */
        public String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * A change or failure.
     *
     * @param id increases with each event; starts at 1 in each process
     * @param service a Service ({@code namespace/name}) or service port ({@code namespace/name:port})
     * @param endpoint address and port; null for an event of a whole Service or frontend
     * @param reason what changed or failed, without control characters
     */
    public record Event(
            long id,
            Instant time,
            Kind kind,
            String service,
            @Nullable String endpoint,
            String reason) {}

    /**
     * Selects events.
     *
     * @param service a Service, which includes its ports, or a service port; null for all
     * @param kind null for all
     */
    public record Filter(@Nullable String service, @Nullable Kind kind) {
        /** Selects all events. */
        public static final Filter ALL = new Filter(null, null);

        private boolean matches(Event event) {
            return (kind == null || kind == event.kind())
                    && (service == null
                            || event.service().equals(service)
                            || event.service().startsWith(service + ":"));
        }
    }

    /** Adds an event. Escapes control characters in the reason and shortens it to about 1,000 characters. */
    public synchronized void add(Instant time, Kind kind, String service, @Nullable String endpoint, String reason) {
        if (events.size() == CAPACITY) {
            events.removeFirst();
        }
        events.addLast(new Event(++lastId, time, kind, service, endpoint, Problem.oneLine(reason)));
    }

    /** Logs and adds a change that an operator has made to an endpoint. */
    public void operatorChange(String service, Endpoint endpoint, String text) {
        log.atInfo()
                .addKeyValue("service", service)
                .addKeyValue("endpoint", endpoint)
                .log("{}: endpoint {} {}", service, endpoint, text);
        add(Instant.now(), Kind.CHANGE, service, endpoint.toString(), text);
    }

    /**
     * Returns the oldest matching events that are newer than an event, oldest first.
     *
     * @param id the id of an event; if it is higher than {@link #lastId}, it comes from an earlier process, and all
     *     events are newer
     * @param limit the maximum number of events to return
     */
    public synchronized List<Event> after(long id, Filter filter, int limit) {
        long from = id > lastId ? 0 : id;
        return events.stream()
                .filter(event -> event.id() > from && filter.matches(event))
                .limit(limit)
                .toList();
    }

    /** Returns the newest matching events, oldest first. */
    public synchronized List<Event> latest(Filter filter, int limit) {
        List<Event> latest = new ArrayList<>();
        for (Iterator<Event> each = events.descendingIterator(); each.hasNext() && latest.size() < limit; ) {
            Event event = each.next();
            if (filter.matches(event)) {
                latest.add(event);
            }
        }
        Collections.reverse(latest);
        return latest;
    }

    /** The id of the newest event; 0 if there is none. */
    public synchronized long lastId() {
        return lastId;
    }
}
