package io.sluice.rules;

import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.ProxyProtocol;
import io.sluice.model.TrafficPolicy.Timeouts;
import io.sluice.rules.PolicyKey.OnRemoval;
import io.sluice.rules.PolicyKey.Probe;
import io.sluice.rules.PolicyKey.Rate;
import io.sluice.rules.PolicyKey.SocketLb;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The keys of a traffic policy that are set, with their parsed values. Unlike a {@link TrafficPolicy}, it distinguishes a
 * key that is not set from one that is set to its default.
 */
public record PolicyValues(Map<PolicyKey<?>, Object> values) {
    /** Maximum length of a value in a summary; enough for every value except a long list of ranges. */
    private static final int MAX_SUMMARY_VALUE = 80;

    /** No key is set. */
    public static final PolicyValues NONE = new PolicyValues(Map.of());

    public PolicyValues {
        values = Map.copyOf(values);
    }

    /** Whether a key is set. */
    boolean has(PolicyKey<?> key) {
        return values.containsKey(key);
    }

    /** The value of a key; its default if the key is not set. */
    @SuppressWarnings("unchecked") // put by with(), which has the same type parameter
    <T> T get(PolicyKey<T> key) {
        Object value = values.get(key);
        return value == null ? key.valueIn(TrafficPolicy.DEFAULT) : (T) value;
    }

    /** The keys that are set, with their values as strings. */
    public Map<PolicyKey<?>, String> texts() {
        Map<PolicyKey<?>, String> texts = new LinkedHashMap<>();
        for (PolicyKey<?> key : PolicyKey.values()) {
            if (has(key)) {
                texts.put(key, text(key));
            }
        }
        return texts;
    }

    /** The value of a key as a string; that of its default if the key is not set. */
    <T> String text(PolicyKey<T> key) {
        return key.format(get(key));
    }

    /** Returns a copy in which a key has the given value. */
    <T> PolicyValues with(PolicyKey<T> key, T value) {
        Map<PolicyKey<?>, Object> changed = new HashMap<>(values);
        changed.put(key, value);
        return new PolicyValues(changed);
    }

    /**
     * Returns a copy in which a key has the given value.
     *
     * @throws IllegalArgumentException if the value is invalid, with a message that describes valid values
     */
    public <T> PolicyValues withText(PolicyKey<T> key, String text) {
        return with(key, key.parse(text));
    }

    /** Returns a copy in which a key has the value that it has in other values. */
    <T> PolicyValues withValueOf(PolicyKey<T> key, PolicyValues other) {
        return with(key, other.get(key));
    }

    /** Returns a copy in which keys that are not set have the values of {@code defaults}. */
    PolicyValues over(PolicyValues defaults) {
        Map<PolicyKey<?>, Object> all = new HashMap<>(defaults.values);
        all.putAll(values);
        return new PolicyValues(all);
    }

    /** The policy with these values and the defaults of all other keys. */
    public TrafficPolicy policy() {
        Rate rate = get(PolicyKey.CONNECTION_RATE_PER_CLIENT);
        OnRemoval removal = get(PolicyKey.ON_ENDPOINT_REMOVED);
        boolean checked = get(PolicyKey.HEALTH_CHECK) == Probe.TCP;
        TrafficPolicy policy = new TrafficPolicy(
                new Balancing(
                        get(PolicyKey.BALANCE),
                        get(PolicyKey.SLOW_START),
                        get(PolicyKey.PREFER),
                        get(PolicyKey.EJECT_AFTER),
                        get(PolicyKey.EJECT_FOR),
                        checked ? get(PolicyKey.HEALTH_CHECK_INTERVAL) : 0),
                new Limits(
                        get(PolicyKey.MAX_CONNECTIONS),
                        get(PolicyKey.MAX_CONNECTIONS_PER_CLIENT),
                        get(PolicyKey.MAX_CONNECTIONS_PER_ENDPOINT),
                        rate.count(),
                        rate.periodNanos()),
                new Timeouts(
                        get(PolicyKey.CONNECT_TIMEOUT),
                        get(PolicyKey.CONNECT_DEADLINE),
                        get(PolicyKey.IDLE_TIMEOUT),
                        get(PolicyKey.HALF_CLOSED_TIMEOUT),
                        get(PolicyKey.UDP_TIMEOUT),
                        get(PolicyKey.UDP_UNREPLIED_TIMEOUT)),
                new ProxyProtocol(get(PolicyKey.PROXY_PROTOCOL), get(PolicyKey.ACCEPT_PROXY_PROTOCOL_FROM)),
                new Lifetime(
                        removal.removal(),
                        removal.drainNanos(),
                        get(PolicyKey.HOLD),
                        get(PolicyKey.HOLD_LIMIT),
                        get(PolicyKey.MAX_CONNECTION_AGE)),
                get(PolicyKey.SOURCE_RANGES),
                get(PolicyKey.SOCKET_LB) == SocketLb.AUTO);
        // One instance for the many Services without a policy of their own.
        return policy.equals(TrafficPolicy.DEFAULT) ? TrafficPolicy.DEFAULT : policy;
    }

    /**
     * The names of the keys of a policy that differ from their defaults, with values that {@link #ofTexts} accepts.
     */
    public static Map<String, String> texts(TrafficPolicy policy) {
        Map<String, String> texts = new LinkedHashMap<>();
        if (!policy.equals(TrafficPolicy.DEFAULT)) {
            for (PolicyKey<?> key : PolicyKey.values()) {
                String text = key.textIn(policy);
                if (!text.equals(key.textIn(TrafficPolicy.DEFAULT))) {
                    texts.put(key.name(), text);
                }
            }
        }
        return texts;
    }

    /** The keys of a policy that differ from their defaults, on one line; long values are shortened. */
    public static String summary(TrafficPolicy policy) {
        return texts(policy).entrySet().stream()
                .map(each -> each.getKey() + ": " + shortened(each.getValue()))
                .collect(Collectors.joining("; "));
    }

    private static String shortened(String value) {
        return value.length() <= MAX_SUMMARY_VALUE ? value : value.substring(0, MAX_SUMMARY_VALUE) + "...";
    }

    /**
     * Parses the result of {@link #texts}, possibly of another version: unknown keys are ignored.
     *
     * @throws IllegalArgumentException if a value is invalid
     */
    public static PolicyValues ofTexts(Map<String, String> texts) {
        PolicyValues values = NONE;
        for (Map.Entry<String, String> each : texts.entrySet()) {
            PolicyKey<?> key = PolicyKey.of(each.getKey());
            if (key == PolicyKey.SOURCE_RANGES && each.getValue().equals(RangeList.NO_CLIENT)) {
                // Not a valid annotation: the result of an invalid one.
                values = values.with(PolicyKey.SOURCE_RANGES, RangeList.noClient());
            } else if (key != null) {
                values = values.withText(key, each.getValue());
            }
        }
        return values;
    }
}
