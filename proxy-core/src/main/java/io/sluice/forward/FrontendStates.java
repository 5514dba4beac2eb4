package io.sluice.forward;

import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.AddressConflict;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePort;
import io.sluice.socket.Errno;
import java.io.IOException;
import java.time.Instant;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tracks the states of all frontends: counts them, reports changes, and decides which frontends to retry. Methods are
 * called under the forwarder's lock, except {@link #counts} and {@link #conflictLosers}, which are thread-safe.
 */
final class FrontendStates {
    private static final Logger log = LoggerFactory.getLogger(FrontendStates.class);

    private final Consumer<FrontendStatus> onChange;
    private final Map<State, Integer> states = new EnumMap<>(State.class);
    private final Map<Failure, Integer> failures = new EnumMap<>(Failure.class);
    /** Frontends whose sockets could not be opened, which are retried. */
    private final Set<BoundFrontend> failed = new LinkedHashSet<>();
    /** Addresses whose rules the kernel rejected, with the reason. */
    private Map<FrontendAddress, String> rejected = Map.of();

    private volatile FrontendCounts counts = new FrontendCounts(states, failures);

    /** States of the service ports that lost an address conflict. Immutable; replaced as a whole. */
    private volatile Map<AddressConflict, FrontendStatus> conflictLosers = Map.of();

    FrontendStates(Consumer<FrontendStatus> onChange) {
        this.onChange = onChange;
    }

    FrontendCounts counts() {
        return counts;
    }

    /** States of service ports that lost an address conflict. */
    Collection<FrontendStatus> conflictLosers() {
        return conflictLosers.values();
    }

    /** Adds a new, pending frontend. */
    void add(BoundFrontend frontend) {
        count(frontend.status, 1);
        publish();
    }

    /**
     * Records that the sockets of a frontend are as required: the frontend becomes {@code ACTIVE}, or {@code FAILED} if
     * the kernel rejected its rules.
     */
    void active(BoundFrontend frontend) {
        failed.remove(frontend);
        String rejection = rejected.get(frontend.address);
        if (rejection == null) {
            enter(frontend, State.ACTIVE, Failure.NONE, frontend.closedReason());
        } else {
            enter(frontend, State.FAILED, Failure.REJECTED_BY_KERNEL, rejection);
        }
    }

    /** Replaces the rejected addresses and returns those whose rejection or reason has changed. */
    Set<FrontendAddress> reject(Map<FrontendAddress, String> reasons) {
        Set<FrontendAddress> changed = new HashSet<>(rejected.keySet());
        changed.addAll(reasons.keySet());
        changed.removeIf(address -> Objects.equals(rejected.get(address), reasons.get(address)));
        rejected = Map.copyOf(reasons);
        return changed;
    }

    /** Updates a frontend whose rejection has changed, unless it is pending or failed for another reason. */
    void reconsider(BoundFrontend frontend) {
        if (frontend.status.state() != State.PENDING && !failed.contains(frontend)) {
            active(frontend);
        }
    }

    /** Records a failure and schedules a retry with back-off. */
    void failed(BoundFrontend frontend, Throwable cause, long nowNanos) {
        Failure failure = failureOf(cause);
        frontend.scheduleRetry(nowNanos);
        failed.add(frontend);
        boolean changed = enter(frontend, State.FAILED, failure, reason(failure, cause));
        if (changed && !(cause instanceof IOException || cause instanceof OutOfMemoryError)) {
            log.error("internal error; {} is not served and will be retried", frontend.address, cause);
        }
    }

    private static Failure failureOf(Throwable e) {
        if (e instanceof OutOfMemoryError) {
            return Failure.OUT_OF_MEMORY;
        }
        return switch (Errno.of(e)) {
            case Errno.EADDRNOTAVAIL -> Failure.ADDRESS_NOT_LOCAL;
            case Errno.EADDRINUSE -> Failure.ADDRESS_IN_USE;
            case Errno.EACCES, Errno.EPERM -> Failure.NOT_PERMITTED;
            case Errno.EMFILE, Errno.ENFILE -> Failure.OUT_OF_DESCRIPTORS;
            case Errno.ENOBUFS, Errno.ENOMEM -> Failure.OUT_OF_MEMORY;
            case Errno.ENOSPC -> Failure.OUT_OF_EPOLL_WATCHES;
            default -> Failure.OTHER;
        };
    }

    private static String reason(Failure failure, Throwable e) {
        return switch (failure) {
            case ADDRESS_NOT_LOCAL -> "not an address of this machine";
            case ADDRESS_IN_USE -> "another socket is bound to this address and port, or to this port on all addresses";
            // An exception without a cause comes from bind(2); the message of any other exception names the missing
            // capability.
            case NOT_PERMITTED ->
                e.getCause() == null
                        ? "binding a port below 1024 requires CAP_NET_BIND_SERVICE"
                        : String.valueOf(e.getMessage());
            case OUT_OF_DESCRIPTORS -> "out of file descriptors for listeners (ulimit -n)";
            case OUT_OF_MEMORY ->
                e instanceof OutOfMemoryError
                        ? "out of memory for buffers (-XX:MaxDirectMemorySize)"
                        : "out of kernel memory for sockets";
            case OUT_OF_EPOLL_WATCHES -> "out of epoll watches (fs.epoll.max_user_watches)";
            case NONE, OTHER, OWNED_BY_ANOTHER, REJECTED_BY_KERNEL ->
                e.getMessage() == null ? e.toString() : e.getMessage();
        };
    }

    /** Records that a frontend accepts nothing new before the process stops. */
    void draining(BoundFrontend frontend) {
        failed.remove(frontend);
        enter(frontend, State.DRAINING, Failure.NONE, "");
    }

    /** Removes a frontend that is no longer in the snapshot. */
    void removed(BoundFrontend frontend) {
        failed.remove(frontend);
        enter(frontend, State.GONE, Failure.NONE, "");
    }

    /** Removes a frontend without reporting a change. Used when the forwarder closes. */
    void forget(BoundFrontend frontend) {
        failed.remove(frontend);
        count(frontend.status, -1);
        publish();
    }

    private boolean enter(BoundFrontend frontend, State state, Failure failure, String reason) {
        FrontendStatus before = frontend.status;
        if (!frontend.enter(state, failure, reason)) {
            return false;
        }
        count(before, -1);
        if (state != State.GONE) {
            count(frontend.status, 1);
        }
        publish();
        onChange.accept(frontend.status);
        return true;
    }

    private void count(FrontendStatus status, int difference) {
        add(states, status.state(), difference);
        if (status.state() == State.FAILED) {
            add(failures, status.failure(), difference);
        }
    }

    private static <K> void add(Map<K, Integer> counts, K key, int difference) {
        counts.merge(key, difference, (count, more) -> count + more == 0 ? null : count + more);
    }

    private void publish() {
        counts = new FrontendCounts(states, failures);
    }

    /** Frontends whose retry is due. */
    List<BoundFrontend> retryDue(long nowNanos) {
        return failed.stream().filter(frontend -> frontend.isRetryDue(nowNanos)).toList();
    }

    void stopRetrying() {
        failed.clear();
    }

    /**
     * Replaces the address conflicts. A service port that lost a conflict counts as failed, but no change is reported
     * for it, because each conflict is already reported as a problem.
     */
    void setConflicts(List<AddressConflict> conflicts) {
        Map<AddressConflict, FrontendStatus> now = new LinkedHashMap<>();
        for (AddressConflict conflict : conflicts) {
            FrontendStatus known = conflictLosers.get(conflict);
            now.put(conflict, known != null ? known : status(conflict));
        }
        conflictLosers.values().forEach(status -> count(status, -1));
        now.values().forEach(status -> count(status, 1));
        conflictLosers = now;
        publish();
    }

    private static FrontendStatus status(AddressConflict conflict) {
        return new FrontendStatus(
                conflict.address(),
                conflict.loser(),
                State.FAILED,
                Failure.OWNED_BY_ANOTHER,
                "belongs to Service " + conflict.owner().serviceName() + ", which is older or sorts first by name",
                Instant.now());
    }

    /** State of every frontend, ordered by address. Thread-safe. */
    List<FrontendStatus> statuses(Map<FrontendAddress, BoundFrontend> frontends) {
        return Stream.concat(frontends.values().stream().map(frontend -> frontend.status), conflictLosers().stream())
                .sorted(Comparator.comparing((FrontendStatus s) -> s.address().address())
                        .thenComparing(s -> s.address().port())
                        .thenComparing(s -> s.address().protocol()))
                .toList();
    }

    /** State of the frontends of a service port. Thread-safe. */
    List<FrontendStatus> statuses(ServicePort servicePort, Map<FrontendAddress, BoundFrontend> frontends) {
        return Stream.concat(
                        servicePort.frontends().stream()
                                .map(frontend -> frontends.get(frontend.address()))
                                .filter(Objects::nonNull)
                                .map(frontend -> frontend.status),
                        conflictLosers().stream())
                .filter(status -> status.service().equals(servicePort.name()))
                .toList();
    }
}
