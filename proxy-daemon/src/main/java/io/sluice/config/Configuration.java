package io.sluice.config;

import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.rules.PolicyValues;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * The values of all settings and their sources. From lowest to highest precedence, the sources are defaults, the {@code
 * KubeProxyConfiguration} and the {@code SluiceConfiguration} in the configuration file, environment variables, and
 * flags.
 *
 * <p>All errors are collected and reported together.
 */
public final class Configuration {
    static final String API_VERSION = "sluice.io/v1alpha1";
    static final String KIND = "SluiceConfiguration";

    /**
     * The unparsed values of one setting.
     *
     * @param origin source of the value: {@code default}, a flag such as {@code --feed}, a variable or a file
     * @param place prefix of error messages about the value: the origin, including the field if the origin is a file
     */
    public record Value(List<String> strings, String origin, String place) {}

    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private final List<String> withoutEffect = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();
    private final List<String> problems = new ArrayList<>();
    private final PolicyValues serviceDefaults;
    private final @Nullable Path file;
    private final Settings settings;

    private Configuration(@Nullable Path file, Map<String, String> environment, Map<Setting<?>, List<String>> flags)
            throws ConfigurationException {
        for (Setting<?> setting : Setting.values()) {
            String text = setting.defaultText();
            values.put(setting, new Value(text.isEmpty() ? List.of() : List.of(text), "default", setting.key()));
        }
        this.file = file;
        if (file == null) {
            serviceDefaults = PolicyValues.NONE;
        } else {
            ConfigurationFile read = ConfigurationFile.read(file);
            serviceDefaults = read.serviceDefaults();
            problems.addAll(read.problems());
            warnings.addAll(read.warnings());
            withoutEffect.addAll(read.notes());
            read.kubeProxyValues().forEach(this::set);
            read.values().forEach(this::set);
        }
        for (Setting<?> setting : Setting.values()) {
            String text = environment.get(setting.variable());
            // In manifests and shell scripts, an empty variable means that the setting is not set.
            if (text != null && !text.isBlank()) {
                List<String> strings = setting.isList() ? Arrays.asList(text.split(",")) : List.of(text);
                set(setting, new Value(strings, setting.variable(), setting.variable()));
            }
        }
        flags.forEach((setting, strings) -> {
            String flag = setting.flags().get(0);
            set(setting, new Value(strings, flag, flag));
        });
        ignoreKubeconfigOfKubeProxy();
        Map<Setting<?>, List<Object>> parsed = new TreeMap<>();
        values.forEach((setting, value) -> parsed.put(setting, parse(setting, value)));
        checkClusterCidrs(Objects.requireNonNull(parsed.get(Setting.CLUSTER_CIDR)));
        checkSocketLb();
        if (!problems.isEmpty()) {
            throw new ConfigurationException(problems);
        }
        settings = Settings.of(new Settings.Values(parsed), serviceDefaults);
        checkAdminAddress(settings.admin().bindAddress());
    }

    /** Reports an error if {@code clusterCIDR} contains several ranges of one address family, as kube-proxy does. */
    private void checkClusterCidrs(List<Object> ranges) {
        long families = ranges.stream()
                .map(range -> range instanceof Cidr cidr && cidr.network().family() == Family.IPV6)
                .distinct()
                .count();
        if (families < ranges.size()) {
            problems.add(value(Setting.CLUSTER_CIDR).place() + ": at most one range of each family is allowed");
        }
    }

    /**
     * Reports an error if socket-level load balancing is on in bind mode. It changes connections to a ClusterIP of the
     * whole node, while bind mode only serves addresses of this machine.
     */
    private void checkSocketLb() {
        Value mode = value(Setting.SOCKET_LB);
        if (List.of("auto", "required").containsAll(mode.strings())
                && value(Setting.MODE).strings().equals(List.of("bind"))) {
            problems.add(mode.place() + ": '" + mode.strings().get(0) + "' needs node mode; set --mode node or "
                    + Setting.SOCKET_LB.flags().get(0) + " off");
        }
    }

    /** Warns if the admin API, which has no authentication, is not limited to clients on this machine. */
    private void checkAdminAddress(@Nullable InetSocketAddress address) {
        if (address != null && !address.getAddress().isLoopbackAddress()) {
            Value value = value(Setting.ADMIN_BIND_ADDRESS);
            warnings.add(value.place() + ": " + value.strings().get(0)
                    + " is not a loopback address; the admin API has no authentication, so every client that can"
                    + " connect to this address can read the state of all Services");
        }
    }

    /** Loads and checks all settings. {@code flags} contains the values of each setting that is set by a flag. */
    public static Configuration load(
            @Nullable Path file, Map<String, String> environment, Map<Setting<?>, List<String>> flags)
            throws ConfigurationException {
        return new Configuration(file, environment, flags);
    }

    /**
     * Ignores the kubeconfig of a {@code KubeProxyConfiguration} if a feed is set, because the feed was set for Sluice
     * and the kubeconfig was set for kube-proxy.
     */
    private void ignoreKubeconfigOfKubeProxy() {
        Value feed = value(Setting.FEED);
        Value kubeconfig = value(Setting.KUBECONFIG);
        if (!feed.strings().isEmpty() && kubeconfig.origin().endsWith("(" + KubeProxyDocument.KIND + ")")) {
            withoutEffect.add("%s (%s) overrides kubeconfig: %s of %s"
                    .formatted(
                            feed.origin(),
                            String.join(",", feed.strings()),
                            String.join(",", kubeconfig.strings()),
                            kubeconfig.origin()));
            values.put(Setting.KUBECONFIG, new Value(List.of(), "default", Setting.KUBECONFIG.key()));
        }
    }

    /** Returns the sources of those given settings that have a value other than the default and {@code false}. */
    public List<String> sourcesOf(Setting<?>... settings) {
        return Arrays.stream(settings)
                .map(this::value)
                .filter(value ->
                        !value.origin().equals("default") && !value.strings().equals(List.of("false")))
                .map(Value::place)
                .toList();
    }

    private void set(Setting<?> setting, Value value) {
        Value before = Objects.requireNonNull(values.put(setting, value));
        if (!before.origin().equals("default") && !before.strings().equals(value.strings())) {
            withoutEffect.add("%s (%s) overrides %s: %s of %s"
                    .formatted(
                            value.origin(),
                            String.join(",", value.strings()),
                            setting.key(),
                            String.join(",", before.strings()),
                            before.origin()));
        }
    }

    private List<Object> parse(Setting<?> setting, Value value) {
        List<Object> parsed = new ArrayList<>();
        for (String text : value.strings()) {
            try {
                parsed.add(setting.type().parse(text));
            } catch (IllegalArgumentException e) {
                problems.add(value.place() + ": " + e.getMessage());
            }
        }
        return parsed;
    }

    /** The parsed settings. */
    public Settings settings() {
        return settings;
    }

    /**
     * One line for each value that a source of higher precedence overrides, and one line that lists the keys of the
     * {@code KubeProxyConfiguration} that have no effect in Sluice.
     */
    public List<String> withoutEffect() {
        return withoutEffect;
    }

    /** Warnings about probable mistakes, one line each. */
    public List<String> warnings() {
        return warnings.stream().map(Problem::oneLine).toList();
    }

    /** A warning if the node name is not set and the host name is not a valid node name; otherwise empty. */
    public Optional<String> invalidHostNameWarning() {
        Value nodeName = value(Setting.NODE_NAME);
        String hostName = HostName.read();
        if (!nodeName.origin().equals("default") || nodeName.strings().equals(List.of(hostName))) {
            return Optional.empty();
        }
        return Optional.of("%s: the host name '%s' is not a valid node name, using '%s'; set %s to %s"
                .formatted(
                        nodeName.place(),
                        Problem.oneLine(hostName),
                        nodeName.strings().get(0),
                        Setting.NODE_NAME.flags().get(0),
                        Setting.NODE_NAME.allowed()));
    }

    /** The value of a setting before parsing, with its source. */
    public Value value(Setting<?> setting) {
        return Objects.requireNonNull(values.get(setting));
    }

    /** The effective configuration with the keys used in the configuration file, for {@code /configz}. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("apiVersion", API_VERSION);
        map.put("kind", KIND);
        values.forEach((setting, value) -> {
            if (setting.isList()) {
                map.put(setting.key(), value.strings());
            } else if (!value.strings().isEmpty()) {
                map.put(setting.key(), plain(setting, value.strings().get(0)));
            }
        });
        map.put(ServiceDefaults.KEY, ServiceDefaults.texts(serviceDefaults));
        return map;
    }

    private static Object plain(Setting<?> setting, String text) {
        if (setting.isNumber()) {
            return Integer.valueOf(text);
        }
        return setting.isBoolean() ? (Object) Boolean.valueOf(text) : text;
    }

    /** The effective configuration as a configuration file, with the source of each value in a comment. */
    public String print() {
        List<String[]> lines = new ArrayList<>();
        values.forEach((setting, value) -> {
            String from = "# " + value.origin();
            if (setting.isList()) {
                lines.add(new String[] {setting.key() + ":" + (value.strings().isEmpty() ? " []" : ""), from});
                value.strings().forEach(text -> lines.add(new String[] {"  - " + quoted(text), ""}));
            } else if (value.strings().isEmpty()) {
                lines.add(new String[] {"# " + setting.key() + ":", "# not set"});
            } else {
                String text = value.strings().get(0);
                boolean bare = setting.isNumber() || setting.isBoolean();
                lines.add(new String[] {setting.key() + ": " + (bare ? text : quoted(text)), from});
            }
        });
        Map<String, String> policy = ServiceDefaults.texts(serviceDefaults);
        String source = policy.isEmpty() ? "# default" : "# file " + file;
        lines.add(new String[] {ServiceDefaults.KEY + ":" + (policy.isEmpty() ? " {}" : ""), source});
        policy.forEach((key, text) -> lines.add(new String[] {"  " + key + ": " + quoted(text), ""}));
        int width = lines.stream().mapToInt(line -> line[0].length()).max().orElse(0) + 2;
        return lines.stream()
                .map(line -> line[1].isEmpty() ? line[0] : line[0] + " ".repeat(width - line[0].length()) + line[1])
                .collect(Collectors.joining("\n", "apiVersion: " + API_VERSION + "\nkind: " + KIND + "\n", "\n"));
    }

    /** Returns a string as a YAML scalar, in quotes if YAML could read the unquoted string as another value. */
    private static String quoted(String text) {
        boolean plain = text.matches("[A-Za-z/.][A-Za-z0-9/._-]*|[0-9]+(ms|s|m|h)")
                && !text.matches("(?i)true|false|null|yes|no|on|off|y|n|\\.inf|\\.nan");
        // A JSON string is also a valid YAML string.
        return plain ? text : JsonMapper.shared().writeValueAsString(text);
    }
}
