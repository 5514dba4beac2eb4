package io.sluice.apiserver;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What API servers were asked and have not finished answering: when each server last sent anything, and how to end what
 * it still owes. Any thread may use it.
 */
final class OpenRequests {
    private static final Logger log = LoggerFactory.getLogger(OpenRequests.class);

    /** A request whose answer has not begun; {@code giveUp} ends the wait for it. */
    record Request(String server, long sinceNanos, Runnable giveUp) {}

    private final Set<Request> requests = ConcurrentHashMap.newKeySet();
    private final Set<ApiResponse> answers = ConcurrentHashMap.newKeySet();

    /** When each server last began an answer. */
    private final Map<String, Long> begunNanos = new ConcurrentHashMap<>();

    void add(Request request) {
        requests.add(request);
    }

    void remove(Request request) {
        requests.remove(request);
    }

    void add(ApiResponse answer) {
        begunNanos.put(answer.server(), answer.heardNanos());
        answers.add(answer);
    }

    void remove(ApiResponse answer) {
        answers.remove(answer);
    }

    /**
     * The servers that owe something and have sent nothing at all for this long.
     *
     * @param watches whether a watch counts as something owed, and not only an answer that has not begun
     */
    List<String> silent(long nowNanos, long nanos, boolean watches) {
        Map<String, Long> signs = new TreeMap<>();
        for (Request request : requests) {
            signs.merge(request.server(), request.sinceNanos(), OpenRequests::earlier);
        }
        for (ApiResponse answer : answers) {
            if (watches) {
                signs.merge(answer.server(), answer.heardNanos(), OpenRequests::earlier);
            }
        }
        for (ApiResponse answer : answers) {
            signs.computeIfPresent(answer.server(), (server, sign) -> later(sign, answer.heardNanos()));
        }
        begunNanos.keySet().retainAll(signs.keySet());
        begunNanos.forEach((server, begun) -> signs.computeIfPresent(server, (same, sign) -> later(sign, begun)));
        signs.values().removeIf(sign -> nowNanos - sign < nanos);
        return List.copyOf(signs.keySet());
    }

    private static long earlier(long one, long other) {
        return one - other < 0 ? one : other;
    }

    private static long later(long one, long other) {
        return one - other < 0 ? other : one;
    }

    /** Ends whatever a server owes: those who wait for it hear that it does not answer. */
    void end(String server) {
        requests.stream()
                .filter(request -> request.server().equals(server))
                .forEach(request -> request.giveUp().run());
        answers.stream().filter(answer -> answer.server().equals(server)).forEach(OpenRequests::end);
    }

    void endAll() {
        requests.forEach(request -> request.giveUp().run());
        answers.forEach(OpenRequests::end);
    }

    private static void end(ApiResponse answer) {
        try {
            answer.close();
        } catch (IOException e) {
            log.debug("{}: not closed cleanly", answer.server(), e);
        }
    }
}
