package io.sluice.config;

import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
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
 * What is set, and by whom: default, then kube-proxy's document in the file, then ours, then environment, then flags;
 * the last one counts.
 *
 * <p>Everything that is wrong is collected, so that it can be put right in one go.
 */
public final class Configuration {
    static final String API_VERSION = "sluice.io/v1alpha1";
    static final String KIND = "SluiceConfiguration";

    /**
     * The texts given for one setting.
     *
     * @param origin where: {@code default}, or such as {@code --feed}
     * @param place the same, exactly, for who has to put it right
     */
    public record Value(List<String> texts, String origin, String place) {}

    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private final List<String> hidden = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();
    private final List<String> problems = new ArrayList<>();
    private final Settings settings;

    private Configuration(@Nullable Path file, Map<String, String> environment, Map<Setting<?>, List<String>> flags)
            throws ConfigurationException {
        for (Setting<?> setting : Setting.values()) {
            String text = setting.defaultText();
            values.put(setting, new Value(text.isEmpty() ? List.of() : List.of(text), "default", setting.key()));
        }
        if (file != null) {
            ConfigurationFile read = ConfigurationFile.read(file);
            problems.addAll(read.problems());
            warnings.addAll(read.warnings());
            hidden.addAll(read.notes());
            read.kubeProxyValues().forEach(this::set);
            read.values().forEach(this::set);
        }
        for (Setting<?> setting : Setting.values()) {
            String text = environment.get(setting.variable());
            // An empty variable is how manifests and shells say "not set".
            if (text != null && !text.isBlank()) {
                List<String> texts = setting.isList() ? Arrays.asList(text.split(",")) : List.of(text);
                set(setting, new Value(texts, setting.variable(), setting.variable()));
            }
        }
        flags.forEach((setting, texts) -> {
            String flag = setting.flags().get(0);
            set(setting, new Value(texts, flag, flag));
        });
        feedOrKubeconfig();
        Map<Setting<?>, List<Object>> parsed = new TreeMap<>();
        values.forEach((setting, value) -> parsed.put(setting, parse(setting, value)));
        clusterCidrs(Objects.requireNonNull(parsed.get(Setting.CLUSTER_CIDR)));
        if (!problems.isEmpty()) {
            throw new ConfigurationException(problems);
        }
        settings = Settings.of(new Settings.Values(parsed));
    }

    /** As kube-proxy has it; two of a family would be a mistake, and a pod of the second taken for a stranger there. */
    private void clusterCidrs(List<Object> ranges) {
        long families = ranges.stream()
                .map(range -> range instanceof Cidr cidr && cidr.network().family() == Family.IPV6)
                .distinct()
                .count();
        if (families < ranges.size()) {
            problems.add(value(Setting.CLUSTER_CIDR).place() + ": at most one range of each family is allowed");
        }
    }

    /** Reads and checks everything. */
    public static Configuration load(
            @Nullable Path file, Map<String, String> environment, Map<Setting<?>, List<String>> flags)
            throws ConfigurationException {
        return new Configuration(file, environment, flags);
    }

    /** A feed is asked for on purpose; kube-proxy's document names its kubeconfig for kube-proxy. */
    private void feedOrKubeconfig() {
        Value feed = value(Setting.FEED);
        Value kubeconfig = value(Setting.KUBECONFIG);
        if (!feed.texts().isEmpty() && kubeconfig.origin().endsWith("(" + KubeProxyDocument.KIND + ")")) {
            hidden.add("%s (%s) hides kubeconfig: %s of %s"
                    .formatted(
                            feed.origin(),
                            String.join(",", feed.texts()),
                            String.join(",", kubeconfig.texts()),
                            kubeconfig.origin()));
            values.put(Setting.KUBECONFIG, new Value(List.of(), "default", Setting.KUBECONFIG.key()));
        }
    }

    /** Who says of each of these settings something else than the default. */
    public List<String> sourcesOf(Setting<?>... settings) {
        return Arrays.stream(settings)
                .map(this::value)
                .filter(value ->
                        !value.origin().equals("default") && !value.texts().equals(List.of("false")))
                .map(Value::place)
                .toList();
    }

    private void set(Setting<?> setting, Value value) {
        Value before = Objects.requireNonNull(values.put(setting, value));
        if (!before.origin().equals("default") && !before.texts().equals(value.texts())) {
            hidden.add("%s (%s) hides %s: %s of %s"
                    .formatted(
                            value.origin(),
                            String.join(",", value.texts()),
                            setting.key(),
                            String.join(",", before.texts()),
                            before.origin()));
        }
    }

    private List<Object> parse(Setting<?> setting, Value value) {
        List<Object> parsed = new ArrayList<>();
        for (String text : value.texts()) {
            try {
                parsed.add(setting.type().parse(text));
            } catch (IllegalArgumentException e) {
                problems.add(value.place() + ": " + e.getMessage());
            }
        }
        return parsed;
    }

    public Settings settings() {
        return settings;
    }

    /**
     * What was set and does not count: a line for each value that something nearer to the user hides, and one for all of
     * kube-proxy's that have no meaning here.
     */
    public List<String> hidden() {
        return hidden;
    }

    /** A line for each thing that is probably not as it was meant. */
    public List<String> warnings() {
        return warnings.stream().map(Problem::oneLine).toList();
    }

    /** A warning where the node name is not set, and the host name cannot be one. */
    public Optional<String> unusableHostName() {
        Value nodeName = value(Setting.NODE_NAME);
        String hostName = HostName.read();
        if (!nodeName.origin().equals("default") || nodeName.texts().equals(List.of(hostName))) {
            return Optional.empty();
        }
        return Optional.of("%s: the host name '%s' is not allowed, using '%s'; set %s to %s"
                .formatted(
                        nodeName.place(),
                        Problem.oneLine(hostName),
                        nodeName.texts().get(0),
                        Setting.NODE_NAME.flags().get(0),
                        Setting.NODE_NAME.allowed()));
    }

    public Value value(Setting<?> setting) {
        return Objects.requireNonNull(values.get(setting));
    }

    /** As the file would say it; for {@code /configz}. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("apiVersion", API_VERSION);
        map.put("kind", KIND);
        values.forEach((setting, value) -> {
            if (setting.isList()) {
                map.put(setting.key(), value.texts());
            } else if (!value.texts().isEmpty()) {
                map.put(setting.key(), plain(setting, value.texts().get(0)));
            }
        });
        return map;
    }

    private static Object plain(Setting<?> setting, String text) {
        if (setting.isNumber()) {
            return Integer.valueOf(text);
        }
        return setting.isBoolean() ? (Object) Boolean.valueOf(text) : text;
    }

    /** A file that sets the same, with a comment behind each line saying where the value comes from. */
    public String print() {
        List<String[]> lines = new ArrayList<>();
        values.forEach((setting, value) -> {
            String from = "# " + value.origin();
            if (setting.isList()) {
                lines.add(new String[] {setting.key() + ":" + (value.texts().isEmpty() ? " []" : ""), from});
                value.texts().forEach(text -> lines.add(new String[] {"  - " + quoted(text), ""}));
            } else if (value.texts().isEmpty()) {
                lines.add(new String[] {"# " + setting.key() + ":", "# not set"});
            } else {
                String text = value.texts().get(0);
                boolean bare = setting.isNumber() || setting.isBoolean();
                lines.add(new String[] {setting.key() + ": " + (bare ? text : quoted(text)), from});
            }
        });
        int width = lines.stream().mapToInt(line -> line[0].length()).max().orElse(0) + 2;
        return lines.stream()
                .map(line -> line[1].isEmpty() ? line[0] : line[0] + " ".repeat(width - line[0].length()) + line[1])
                .collect(Collectors.joining("\n", "apiVersion: " + API_VERSION + "\nkind: " + KIND + "\n", "\n"));
    }

    /** Quoted where YAML would read something else than these letters. */
    private static String quoted(String text) {
        boolean plain = text.matches("[A-Za-z/.][A-Za-z0-9/._-]*|[0-9]+(ms|s|m|h)")
                && !text.matches("(?i)true|false|null|yes|no|on|off|y|n|\\.inf|\\.nan");
        // A text of JSON is one of YAML, whatever is in it.
        return plain ? text : JsonMapper.shared().writeValueAsString(text);
    }
}
