package io.sluice.rules;

import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Algorithm;
import io.sluice.model.TrafficPolicy.Preference;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.text.DurationFormat;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A key of the {@link TrafficPolicy}, with its name, parser, valid values and formatter. The constants define all keys.
 * The annotation {@code service.sluice.io/NAME} sets a key for one Service; {@code serviceDefaults} in the configuration
 * file sets it for all Services.
 *
 * @param <T> type of a parsed value
 */
public final class PolicyKey<T> {
    /** Value of a duration, count or rate that is turned off. */
    private static final String OFF = "off";

    /** Value of a timeout that is the one of the process. */
    private static final String PROCESS_DEFAULT = "default";

    private static final int MAX_CONNECTIONS_LIMIT = 10_000_000;
    private static final Pattern RATE = Pattern.compile("(\\d{1,9})/([sm])");
    private static final String DRAIN = "drain ";

    private static final Duration MILLISECOND = Duration.ofMillis(1);
    private static final Duration SECOND = Duration.ofSeconds(1);
    private static final Duration HOUR = Duration.ofHours(1);
    private static final Duration DAY = Duration.ofHours(24);
    private static final Duration MONTH = Duration.ofDays(30);

    /** All keys. The initializers of the constants below add their keys to this list. */
    private static final List<PolicyKey<?>> ALL = new ArrayList<>();

    public static final PolicyKey<Algorithm> BALANCE =
            choice("balance", Algorithm.class, policy -> policy.balancing().algorithm());
    public static final PolicyKey<Long> SLOW_START = duration(
            "slow-start", OFF, SECOND, DAY, policy -> policy.balancing().slowStartNanos());
    public static final PolicyKey<Preference> PREFER =
            choice("prefer", Preference.class, policy -> policy.balancing().preference());
    public static final PolicyKey<Integer> EJECT_AFTER =
            count("eject-after", OFF, 1_000, policy -> policy.balancing().ejectAfter());
    public static final PolicyKey<Long> EJECT_FOR = duration(
            "eject-for",
            "",
            SECOND,
            Duration.ofMinutes(5),
            policy -> policy.balancing().ejectForNanos());
    public static final PolicyKey<Probe> HEALTH_CHECK = choice(
            "health-check",
            Probe.class,
            policy -> policy.balancing().healthCheckIntervalNanos() == 0 ? Probe.NONE : Probe.TCP);
    public static final PolicyKey<Long> HEALTH_CHECK_INTERVAL =
            duration("health-check-interval", "", SECOND, HOUR, PolicyKey::healthCheckInterval);
    public static final PolicyKey<Integer> MAX_CONNECTIONS = count(
            "max-connections",
            OFF,
            MAX_CONNECTIONS_LIMIT,
            policy -> policy.limits().connections());
    public static final PolicyKey<Integer> MAX_CONNECTIONS_PER_CLIENT = count(
            "max-connections-per-client",
            OFF,
            MAX_CONNECTIONS_LIMIT,
            policy -> policy.limits().connectionsPerClient());
    public static final PolicyKey<Integer> MAX_CONNECTIONS_PER_ENDPOINT = count(
            "max-connections-per-endpoint",
            OFF,
            MAX_CONNECTIONS_LIMIT,
            policy -> policy.limits().connectionsPerEndpoint());
    public static final PolicyKey<Rate> CONNECTION_RATE_PER_CLIENT = added(
            "connection-rate-per-client",
            "a number of connections per second or minute such as 20/s or 600/m, at most 1000000, or off",
            PolicyKey::rate,
            rate -> rate.count() == 0
                    ? OFF
                    : rate.count() + (rate.periodNanos() == TimeUnit.SECONDS.toNanos(1) ? "/s" : "/m"),
            policy -> new Rate(policy.limits().ratePerClient(), policy.limits().ratePeriodNanos()));
    public static final PolicyKey<Long> CONNECT_TIMEOUT = duration(
            "connect-timeout",
            PROCESS_DEFAULT,
            MILLISECOND,
            HOUR,
            policy -> policy.timeouts().connectNanos());
    public static final PolicyKey<Long> CONNECT_DEADLINE = duration(
            "connect-deadline",
            PROCESS_DEFAULT,
            MILLISECOND,
            HOUR,
            policy -> policy.timeouts().connectDeadlineNanos());
    public static final PolicyKey<Long> IDLE_TIMEOUT = duration(
            "idle-timeout", OFF, SECOND, MONTH, policy -> policy.timeouts().idleNanos());
    public static final PolicyKey<Long> HALF_CLOSED_TIMEOUT = duration(
            "half-closed-timeout",
            PROCESS_DEFAULT,
            SECOND,
            DAY,
            policy -> policy.timeouts().halfClosedNanos());
    public static final PolicyKey<Long> UDP_TIMEOUT = duration(
            "udp-timeout",
            PROCESS_DEFAULT,
            SECOND,
            DAY,
            policy -> policy.timeouts().udpNanos());
    public static final PolicyKey<Long> UDP_UNREPLIED_TIMEOUT = duration(
            "udp-unreplied-timeout",
            PROCESS_DEFAULT,
            SECOND,
            DAY,
            policy -> policy.timeouts().udpUnrepliedNanos());
    public static final PolicyKey<ProxyHeader> PROXY_PROTOCOL = choice(
            "proxy-protocol",
            ProxyHeader.class,
            policy -> policy.proxyProtocol().send());
    public static final PolicyKey<List<Cidr>> ACCEPT_PROXY_PROTOCOL_FROM = ranges(
            "accept-proxy-protocol-from", policy -> policy.proxyProtocol().acceptFrom());
    public static final PolicyKey<List<Cidr>> SOURCE_RANGES = added(
            "source-ranges",
            RangeList.ALLOWED,
            text -> Optional.of(RangeList.parse(text)),
            ranges -> ranges.equals(RangeList.noClient()) ? RangeList.NO_CLIENT : RangeList.format(ranges),
            TrafficPolicy::sourceRanges);
    public static final PolicyKey<OnRemoval> ON_ENDPOINT_REMOVED = added(
            "on-endpoint-removed",
            "keep, reset, or drain with a duration from 1s to 24h, such as drain 30s",
            PolicyKey::onRemoval,
            value -> value.removal() == Removal.DRAIN ? DRAIN + format(value.drainNanos()) : text(value.removal()),
            policy ->
                    new OnRemoval(policy.lifetime().removal(), policy.lifetime().drainNanos()));
    public static final PolicyKey<Long> HOLD =
            duration("hold", OFF, SECOND, HOUR, policy -> policy.lifetime().holdNanos());
    public static final PolicyKey<Integer> HOLD_LIMIT =
            count("hold-limit", "", 100_000, policy -> policy.lifetime().holdLimit());
    public static final PolicyKey<Long> MAX_CONNECTION_AGE = duration(
            "max-connection-age",
            OFF,
            SECOND,
            MONTH,
            policy -> policy.lifetime().maxAgeNanos());
    public static final PolicyKey<SocketLb> SOCKET_LB =
            choice("socket-lb", SocketLb.class, policy -> policy.socketLb() ? SocketLb.AUTO : SocketLb.OFF);

    private final String name;
    private final String allowed;
    private final Function<String, Optional<T>> parser;
    private final Function<T, String> formatter;
    private final Function<TrafficPolicy, T> getter;

    /** How endpoints are checked. */
    public enum Probe {
        NONE,
        TCP
    }

    /** Whether connections are decided at the client's socket. */
    public enum SocketLb {
        /** If socket-level load balancing is on and the frontend is eligible. */
        AUTO,
        OFF
    }

    /**
     * A maximum rate.
     *
     * @param count number per period; 0 for no maximum
     */
    public record Rate(int count, long periodNanos) {}

    /** What happens to connections of a removed endpoint. */
    public record OnRemoval(Removal removal, long drainNanos) {}

    private PolicyKey(
            String name,
            String allowed,
            Function<String, Optional<T>> parser,
            Function<T, String> formatter,
            Function<TrafficPolicy, T> getter) {
        this.name = name;
        this.allowed = allowed;
        this.parser = parser;
        this.formatter = formatter;
        this.getter = getter;
    }

    private static <T> PolicyKey<T> added(
            String name,
            String allowed,
            Function<String, Optional<T>> parser,
            Function<T, String> formatter,
            Function<TrafficPolicy, T> getter) {
        PolicyKey<T> key = new PolicyKey<>(name, allowed, parser, formatter, getter);
        ALL.add(key);
        return key;
    }

    private static <E extends Enum<E>> PolicyKey<E> choice(
            String name, Class<E> type, Function<TrafficPolicy, E> getter) {
        List<E> choices = List.of(type.getEnumConstants());
        List<String> texts = choices.stream().map(PolicyKey::text).toList();
        String allowed = String.join(", ", texts.subList(0, texts.size() - 1)) + " or " + texts.get(texts.size() - 1);
        return added(
                name,
                allowed,
                text -> choices.stream().filter(each -> text(each).equals(text)).findFirst(),
                PolicyKey::text,
                getter);
    }

    /** Creates a key whose value is a duration, and 0 for the given word; an empty word if 0 is invalid. */
    private static PolicyKey<Long> duration(
            String name, String zero, Duration min, Duration max, Function<TrafficPolicy, Long> getter) {
        return added(
                name,
                "a duration such as 500ms, 1.5s, 5m or 1h, from " + DurationFormat.format(min) + " to "
                        + DurationFormat.format(max) + (zero.isEmpty() ? "" : ", or " + zero),
                text -> isWord(text, zero) ? Optional.of(0L) : nanos(text, min, max),
                nanos -> nanos == 0 ? zero : format(nanos),
                getter);
    }

    /** Creates a key whose value is a number, and 0 for the given word; an empty word if 0 is invalid. */
    private static PolicyKey<Integer> count(
            String name, String zero, int max, Function<TrafficPolicy, Integer> getter) {
        return added(
                name,
                "a whole number from 1 to " + max + (zero.isEmpty() ? "" : ", or " + zero),
                text -> isWord(text, zero) ? Optional.of(0) : number(text, max),
                number -> number == 0 ? zero : String.valueOf(number),
                getter);
    }

    private static PolicyKey<List<Cidr>> ranges(String name, Function<TrafficPolicy, List<Cidr>> getter) {
        return added(name, RangeList.ALLOWED, text -> Optional.of(RangeList.parse(text)), RangeList::format, getter);
    }

    private static boolean isWord(String text, String word) {
        return !word.isEmpty() && text.equals(word);
    }

    private static String text(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private static String format(long nanos) {
        return DurationFormat.format(Duration.ofNanos(nanos));
    }

    private static Optional<Long> nanos(String text, Duration min, Duration max) {
        return DurationFormat.parse(text)
                .filter(time -> time.compareTo(min) >= 0 && time.compareTo(max) <= 0)
                .map(Duration::toNanos);
    }

    private static Optional<Integer> number(String text, int max) {
        if (text.isEmpty() || text.length() > 9 || !text.chars().allMatch(c -> c >= '0' && c <= '9')) {
            return Optional.empty();
        }
        int number = Integer.parseInt(text);
        return number < 1 || number > max ? Optional.empty() : Optional.of(number);
    }

    private static Optional<Rate> rate(String text) {
        if (text.equals(OFF)) {
            return Optional.of(new Rate(0, 0));
        }
        Matcher matcher = RATE.matcher(text);
        return matcher.matches()
                ? number(matcher.group(1), 1_000_000)
                        .map(count -> new Rate(
                                count, (matcher.group(2).equals("s") ? TimeUnit.SECONDS : TimeUnit.MINUTES).toNanos(1)))
                : Optional.empty();
    }

    private static Optional<OnRemoval> onRemoval(String text) {
        if (text.startsWith(DRAIN)) {
            return nanos(text.substring(DRAIN.length()).strip(), SECOND, DAY)
                    .map(nanos -> new OnRemoval(Removal.DRAIN, nanos));
        }
        return switch (text) {
            case "keep" -> Optional.of(new OnRemoval(Removal.KEEP, 0));
            case "reset" -> Optional.of(new OnRemoval(Removal.RESET, 0));
            default -> Optional.empty();
        };
    }

    private static long healthCheckInterval(TrafficPolicy policy) {
        long nanos = policy.balancing().healthCheckIntervalNanos();
        return nanos == 0 ? TimeUnit.SECONDS.toNanos(5) : nanos;
    }

    /** All keys, in the order in which they are printed. */
    public static List<PolicyKey<?>> values() {
        return Collections.unmodifiableList(ALL);
    }

    /** The key with the given name; null if there is none. */
    public static @Nullable PolicyKey<?> of(String name) {
        for (PolicyKey<?> key : ALL) {
            if (key.name.equals(name)) {
                return key;
            }
        }
        return null;
    }

    /** The name in annotations and output, such as {@code max-connections}. */
    public String name() {
        return name;
    }

    /** The name in the configuration file, such as {@code maxConnections}. */
    public String camelCase() {
        StringBuilder camel = new StringBuilder();
        for (String part : name.split("-")) {
            camel.append(camel.isEmpty() ? part : part.substring(0, 1).toUpperCase(Locale.ROOT) + part.substring(1));
        }
        return camel.toString();
    }

    /** Description of the valid values. */
    public String allowed() {
        return allowed;
    }

    /**
     * Parses a value.
     *
     * @throws IllegalArgumentException if the value is invalid, with a message that describes valid values
     */
    T parse(String text) {
        return parser.apply(text.strip())
                .orElseThrow(
                        () -> new IllegalArgumentException(Problem.quoted(text) + " is invalid; must be " + allowed));
    }

    /** The value of this key in a policy. */
    T valueIn(TrafficPolicy policy) {
        return getter.apply(policy);
    }

    /** The value of this key in a policy as a string that {@link PolicyValues#ofTexts} accepts. */
    public String textIn(TrafficPolicy policy) {
        return format(valueIn(policy));
    }

    String format(T value) {
        return formatter.apply(value);
    }

    @Override
    public String toString() {
        return name;
    }
}
