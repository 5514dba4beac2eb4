package io.sluice.daemon;

import static io.sluice.daemon.Manifests.CHART;
import static io.sluice.daemon.Manifests.documents;
import static io.sluice.daemon.Manifests.only;
import static io.sluice.daemon.Manifests.strings;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.config.Configuration;
import io.sluice.config.Setting;
import io.sluice.daemon.Manifests.Output;
import io.sluice.model.TrafficPolicy;
import io.sluice.rules.PolicyKey;
import io.sluice.rules.PolicyValues;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Compares the Helm chart with the kustomize manifests, and its values with the settings of the daemon. */
@Tag("one-jdk")
final class HelmChartTest {
    private static final List<String> REPLACE = List.of("--set=mode=replace");

    /** Settings that the chart sets by a flag or a variable, or that do not apply to a pod with an API server. */
    private static final Set<String> NOT_IN_THE_SCHEMA = Set.of(
            "feed",
            "kubeconfig",
            "context",
            "mapFrontends",
            "mode",
            "nodeName",
            "serviceProxyName",
            "handoverSocket",
            "exitAfterHandover",
            "handoverMarker",
            "readyFile",
            "healthzBindAddress",
            "metricsBindAddress",
            "adminBindAddress",
            "adminSocket",
            "socketLb",
            "socketLbCgroup",
            "socketLbPins");

    @TempDir
    private Path directory;

    private static List<JsonNode> render(List<String> arguments) throws Exception {
        Output output = Manifests.helmTemplate(arguments.toArray(String[]::new));
        assertThat(output.code()).as(output.text()).isZero();
        return documents(output.text());
    }

    /** Returns the objects by kind, without what Helm and kustomize name or order differently. */
    private static Map<String, JsonNode> normalized(List<JsonNode> objects) {
        Map<String, JsonNode> normalized = new TreeMap<>();
        for (JsonNode object : objects) {
            String kind = object.path("kind").stringValue("");
            assertThat(normalized.put(kind, normalized((ObjectNode) object.deepCopy())))
                    .as("a second " + kind)
                    .isNull();
        }
        return normalized;
    }

    private static ObjectNode normalized(ObjectNode object) {
        ObjectNode metadata = (ObjectNode) object.path("metadata");
        // kustomize appends a hash of the content to the name of the ConfigMap; Helm annotates the pod with a checksum.
        metadata.put("name", withoutHash(metadata.path("name").stringValue()));
        ObjectNode labels = (ObjectNode) metadata.path("labels");
        labels.remove(List.of(
                "app.kubernetes.io/instance",
                "app.kubernetes.io/version",
                "app.kubernetes.io/managed-by",
                "helm.sh/chart"));
        if (object.has("data")) {
            List<JsonNode> settings = documents(object.at("/data/config.yaml").stringValue());
            object.putArray("data").addAll(settings);
        }
        if (object.at("/spec/template") instanceof ObjectNode template) {
            if (template.at("/metadata/annotations") instanceof ObjectNode annotations) {
                annotations.remove("checksum/config");
                assertThat(annotations.isEmpty()).as(annotations.toString()).isTrue();
                ((ObjectNode) template.path("metadata")).remove("annotations");
            }
            sortLists((ObjectNode) template.path("spec"));
        }
        return object;
    }

    /** Sorts volumes, mounts and variables by name: kustomize adds those of a patch at the front, the chart at the end. */
    private static void sortLists(ObjectNode pod) {
        for (JsonNode volume : pod.path("volumes")) {
            if (volume.path("configMap") instanceof ObjectNode configMap) {
                configMap.put("name", withoutHash(configMap.path("name").stringValue()));
            }
        }
        sortByName(pod, "volumes");
        ObjectNode container = (ObjectNode) pod.at("/containers/0");
        sortByName(container, "env");
        sortByName(container, "volumeMounts");
        // A file needs a placeholder for the address of the API server, a chart does not.
        if (container.path("env").toString().contains("api-server.example.com")) {
            ((ArrayNode) container.path("env"))
                    .removeIf(each -> each.path("name").stringValue().startsWith("KUBERNETES_SERVICE_"));
        }
    }

    private static void sortByName(ObjectNode object, String key) {
        List<JsonNode> sorted = object.path(key)
                .valueStream()
                .sorted(Comparator.comparing(each -> each.path("name").stringValue()))
                .toList();
        object.putArray(key).addAll(sorted);
    }

    private static String withoutHash(String name) {
        return name.replaceFirst("^sluice-[a-z0-9]{10}$", "sluice");
    }

    private static JsonNode schema() throws Exception {
        return JsonMapper.shared().readTree(Files.readString(CHART.resolve("values.schema.json")));
    }

    /** Both modes have the same objects as their overlay, field by field, with and without the component. */
    @ParameterizedTest
    @CsvSource({
        "beside, beside-kube-proxy, false",
        "replace, instead-of-kube-proxy, false",
        "beside, beside-kube-proxy, true",
        "replace, instead-of-kube-proxy, true"
    })
    void chartEqualsTheOverlay(String mode, String overlay, boolean socketLb) throws Exception {
        List<String> values = new ArrayList<>(mode.equals("replace") ? REPLACE : List.of());
        values.add("--set=socketLb.enabled=" + socketLb);
        Map<String, JsonNode> chart = normalized(render(values));
        Map<String, JsonNode> kustomize =
                normalized(socketLb ? Manifests.overlay(overlay, "socket-lb", directory) : Manifests.overlay(overlay));
        assertThat(chart.keySet())
                .isEqualTo(kustomize.keySet())
                .containsExactlyInAnyOrder(
                        "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet", "ServiceAccount");
        kustomize.forEach((kind, object) -> {
            JsonNode rendered = chart.get(kind);
            assertThat(rendered).as(kind).isEqualTo(object);
        });
    }

    @Test
    void lintReportsNoProblem() throws Exception {
        for (List<String> values : List.of(List.<String>of(), REPLACE)) {
            Output output = Manifests.helmLint(values.toArray(String[]::new));
            assertThat(output.code()).as(output.text()).isZero();
            assertThat(output.text()).doesNotContain("[WARNING]", "[ERROR]").contains("0 chart(s) failed");
        }
    }

    /** Invalid values are rejected with a message that names the value and what is allowed. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', textBlock = """
            mode=other | '/mode': value must be one of 'beside', 'replace'
            replicas=3 | additional properties 'replicas' not allowed
            settings.drainTimout=3s | '/settings': additional properties 'drainTimout' not allowed
            settings.drainTimeout=soon | '/settings/drainTimeout': 'soon' does not match pattern
            settings.loops=65 | '/settings/loops': maximum: got 65, want 64
            settings.mode=bind | additional properties 'mode' not allowed
            tolerations[0].effects=NoExecute | '/tolerations/0': additional properties 'effects' not allowed
            adminSocket=/tmp/admin.sock | '/adminSocket': '/tmp/admin.sock' does not match pattern
            settings.drainTimeout=45s | settings.drainTimeout is 45s; it must be shorter
            settings.drainTimeout=1m | settings.drainTimeout is 1m; it must be shorter
            podMonitor.enabled=true | set metricsBindAddress to an address that Prometheus can reach
            prometheusRule.enabled=true | podMonitor.enabled is false
            socketLb.seccompProfile=Localhost | '/socketLb/seccompProfile': value must be one of 'RuntimeDefault', 'Unconfined'
            settings.socketLb=auto | '/settings': additional properties 'socketLb' not allowed
            """)
    void rejectsAnInvalidValue(String value, String message) throws Exception {
        Output output = Manifests.helmTemplate("--set=" + value);
        assertThat(output.code()).as(output.text()).isNotZero();
        assertThat(output.text()).contains(message);
    }

    /** The schema has exactly the settings of the daemon that apply, each with the type it has in a file. */
    @Test
    void schemaHasTheSettingsOfTheDaemon() throws Exception {
        JsonNode properties = schema().at("/properties/settings/properties");
        Map<String, Setting<?>> settings = Setting.values().stream()
                .filter(setting -> !NOT_IN_THE_SCHEMA.contains(setting.toString()))
                .collect(Collectors.toMap(Setting::toString, setting -> setting));
        Set<String> keys = new TreeSet<>(settings.keySet());
        keys.add("serviceDefaults");
        assertThat(new TreeSet<>(properties.propertyNames()))
                .as("keys of 'settings' in values.schema.json; a new setting must be added there")
                .isEqualTo(keys);
        assertThat(properties.at("/serviceDefaults/properties").propertyNames())
                .containsExactlyElementsOf(
                        PolicyKey.values().stream().map(PolicyKey::camelCase).toList());
        settings.forEach((key, setting) -> {
            String type = properties.path(key).path("type").stringValue("");
            assertThat(type.equals("boolean")).as(key).isEqualTo(setting.isBoolean());
            assertThat(type.equals("array")).as(key).isEqualTo(setting.isList());
        });
    }

    /** The daemon accepts a ConfigMap in which every setting has its default value. */
    @Test
    void daemonAcceptsAllSettings() throws Exception {
        JsonNode properties = schema().at("/properties/settings/properties");
        ObjectNode settings = JsonMapper.shared().createObjectNode();
        for (Setting<?> setting : Setting.values()) {
            JsonNode property = properties.path(setting.toString());
            String text = setting.defaultText();
            if (property.isMissingNode() || text.isEmpty()) {
                continue;
            }
            switch (property.path("type").stringValue("")) {
                case "integer" -> settings.put(setting.toString(), Integer.parseInt(text));
                case "boolean" -> settings.put(setting.toString(), Boolean.parseBoolean(text));
                case "array" -> settings.putArray(setting.toString()).add(text);
                default -> settings.put(setting.toString(), text);
            }
        }
        // Helm reads numbers as floating point; large ones must not get an exponent.
        settings.put("maxFlows", 1_000_000);
        ObjectNode defaults = settings.putObject("serviceDefaults");
        for (PolicyKey<?> key : PolicyKey.values()) {
            defaults.put(key.camelCase(), key.textIn(TrafficPolicy.DEFAULT));
        }
        defaults.put("maxConnections", 1_000_000)
                .put("hold", false)
                .putArray("sourceRanges")
                .add("10.0.0.0/8");
        assertThat(settings.size()).isGreaterThan(20);
        List<JsonNode> objects = render(List.of("--set-json=settings=" + settings));
        Path config = Files.writeString(
                directory.resolve("config.yaml"),
                only(objects, "ConfigMap").at("/data/config.yaml").stringValue());
        Configuration configuration = Configuration.load(config, Map.of(), Map.of());
        assertThat(configuration.warnings()).isEmpty();
        TrafficPolicy policy =
                configuration.settings().buildOptions().serviceDefaults().policy();
        assertThat(PolicyValues.texts(policy))
                .isEqualTo(Map.of("max-connections", "1000000", "source-ranges", "10.0.0.0/8"));
    }

    /** An address that is set takes precedence over that of kube-proxy. */
    @ParameterizedTest
    @CsvSource({
        "mode=replace, true",
        "'mode=replace,apiServer.host=198.18.0.1', false",
        "'mode=replace,settings.masters[0]=https://198.18.0.1:6443', false",
        "mode=beside, false"
    })
    void usesTheKubeconfigOfKubeProxyByDefault(String values, boolean used) throws Exception {
        JsonNode pod = only(render(List.of("--set=" + values)), "DaemonSet").at("/spec/template/spec");
        assertThat(pod.toString().contains("KUBECONFIG")).isEqualTo(used);
        assertThat(pod.path("volumes").toString().contains("kubeconfig.conf")).isEqualTo(used);
    }

    @Test
    void addressesReachTheDaemonSet() throws Exception {
        JsonNode container = only(
                        render(List.of(
                                "--set=apiServer.host=2001:db8::1,apiServer.port=443",
                                "--set=healthzBindAddress=[::]:10300,metricsBindAddress=off",
                                "--set=adminBindAddress=198.18.0.1:80,adminSocket=/run/sluice/other.sock",
                                "--set=env[0].name=JDK_JAVA_OPTIONS,env[0].value=-Xmx2g")),
                        "DaemonSet")
                .at("/spec/template/spec/containers/0");
        assertThat(strings(container.path("args")))
                .contains(
                        "--healthz-bind-address=[::]:10300",
                        "--metrics-bind-address=off",
                        "--admin-bind-address=198.18.0.1:80");
        assertThat(container.at("/livenessProbe/httpGet").toString())
                .isEqualTo("{\"path\":\"/livez\",\"port\":10300,\"host\":\"::1\"}");
        Stream<String> environment = container
                .path("env")
                .valueStream()
                .skip(1)
                .map(each -> each.path("name").stringValue() + "="
                        + each.path("value").stringValue());
        assertThat(environment)
                .containsExactly(
                        "KUBERNETES_SERVICE_HOST=2001:db8::1",
                        "KUBERNETES_SERVICE_PORT=443",
                        "SLUICE_ADMIN_SOCKET=/run/sluice/other.sock",
                        "JDK_JAVA_OPTIONS=-Xmx2g");
    }

    /** A container runtime whose default profile does not allow bpf(2). */
    @Test
    void socketLbCanRunUnconfined() throws Exception {
        String unconfined = "--set=socketLb.seccompProfile=Unconfined";
        String profile = "/spec/template/spec/containers/0/securityContext/seccompProfile/type";
        assertThat(only(render(List.of("--set=socketLb.enabled=true", unconfined)), "DaemonSet")
                        .at(profile)
                        .stringValue())
                .isEqualTo("Unconfined");
        assertThat(only(render(List.of(unconfined)), "DaemonSet").at(profile).isMissingNode())
                .as("without socket-level load balancing")
                .isTrue();
    }

    /** As a variable, the value would also apply to commands in the container, which would use it as a path. */
    @Test
    void adminSocketIsDisabledByAFlag() throws Exception {
        JsonNode container =
                only(render(List.of("--set=adminSocket=off")), "DaemonSet").at("/spec/template/spec/containers/0");
        assertThat(strings(container.path("args"))).contains("--admin-socket=off");
        assertThat(container.path("env").size()).isEqualTo(1);
    }

    @Test
    void valuesReachTheDaemonSet() throws Exception {
        JsonNode pod = only(
                        render(List.of(
                                "--set=image.repository=198.18.0.1:5000/sluice,image.tag=test,image.pullPolicy=Always",
                                "--set=imagePullSecrets[0].name=registry,podAnnotations.team=network",
                                "--set=nodeSelector.pool=edge,tolerations=null")),
                        "DaemonSet")
                .at("/spec/template");
        JsonNode container = pod.at("/spec/containers/0");
        assertThat(container.path("image").stringValue()).isEqualTo("198.18.0.1:5000/sluice:test");
        assertThat(container.path("imagePullPolicy").stringValue()).isEqualTo("Always");
        assertThat(pod.at("/spec/imagePullSecrets/0/name").stringValue()).isEqualTo("registry");
        assertThat(pod.at("/metadata/annotations/team").stringValue()).isEqualTo("network");
        assertThat(pod.at("/spec/nodeSelector/pool").stringValue()).isEqualTo("edge");
        assertThat(pod.path("spec").has("tolerations")).isFalse();
    }

    /** Beside kube-proxy, its ports are in use; instead of it, Sluice uses the ports of its configuration. */
    @ParameterizedTest
    @CsvSource({"beside, 10356", "replace, 10300"})
    void healthPortOfKubeProxyAppliesOnlyInsteadOfKubeProxy(String mode, int port) throws Exception {
        List<String> values = Stream.concat(
                        REPLACE.stream(),
                        Stream.of(
                                "--set=mode=" + mode, "--set=kubeProxyConfiguration.healthzBindAddress=0.0.0.0:10300"))
                .toList();
        JsonNode container = only(render(values), "DaemonSet").at("/spec/template/spec/containers/0");
        assertThat(container.at("/startupProbe/httpGet/port").intValue()).isEqualTo(port);
        assertThat(container.at("/livenessProbe/httpGet/port").intValue()).isEqualTo(port);
    }

    @Test
    void podMonitorSelectsThePodsAndTheMetricsPort() throws Exception {
        List<JsonNode> objects = render(List.of(
                "--set=podMonitor.enabled=true,podMonitor.labels.release=main,podMonitor.interval=10s",
                "--set=metricsBindAddress=0.0.0.0:10400"));
        JsonNode monitor = only(objects, "PodMonitor");
        assertThat(monitor.at("/metadata/labels/release").stringValue()).isEqualTo("main");
        assertThat(monitor.at("/spec/selector"))
                .isEqualTo(only(objects, "DaemonSet").at("/spec/selector"));
        assertThat(monitor.at("/spec/jobLabel").stringValue()).isEqualTo("app.kubernetes.io/name");
        JsonNode endpoint = monitor.at("/spec/podMetricsEndpoints/0");
        assertThat(endpoint.path("honorLabels").booleanValue()).isTrue();
        assertThat(endpoint.path("interval").stringValue()).isEqualTo("10s");
        assertThat(endpoint.path("relabelings")
                        .valueStream()
                        .filter(each -> each.path("targetLabel").stringValue("").equals("__address__"))
                        .map(each -> each.path("replacement").stringValue()))
                .containsExactly("$1:10400", "[$1]:10400");
    }

    /** A chart can only include its own files, and helm prints a warning for a symbolic link. */
    @Test
    void chartContainsACopyOfTheAlerts() throws Exception {
        assertThat(CHART.resolve("files/prometheus-rules.yaml"))
                .hasSameTextualContentAs(Manifests.DEPLOY.resolve("monitoring/prometheus-rules.yaml"));
    }

    @Test
    void alertsAreThoseOfTheMonitoringFolder() throws Exception {
        List<JsonNode> objects = render(List.of(
                "--set=podMonitor.enabled=true,prometheusRule.enabled=true", "--set=metricsBindAddress=0.0.0.0:10400"));
        JsonNode rules = documents(Files.readString(Manifests.DEPLOY.resolve("monitoring/prometheus-rules.yaml")))
                .get(0);
        assertThat(rules.at("/spec/groups").size()).isPositive();
        assertThat(only(objects, "PrometheusRule").at("/spec")).isEqualTo(rules.at("/spec"));
    }

    /** Each value of {@code values.yaml} is in the table of the README and in the schema. */
    @ParameterizedTest
    @ValueSource(strings = {"image", "apiServer", "kubeProxyCleanup", "socketLb", "podMonitor", "prometheusRule", ""})
    void readmeListsAllValues(String section) throws Exception {
        JsonNode values =
                documents(Files.readString(CHART.resolve("values.yaml"))).get(0);
        JsonNode schema = schema();
        JsonNode node = section.isEmpty() ? values : values.path(section);
        JsonNode properties =
                section.isEmpty() ? schema.path("properties") : schema.at("/properties/" + section + "/properties");
        String readme = Files.readString(CHART.resolve("README.md"));
        Set<String> keys = new TreeSet<>(properties.propertyNames());
        keys.remove("global");
        assertThat(new TreeSet<>(node.propertyNames())).isEqualTo(keys);
        String prefix = section.isEmpty() ? "" : section + ".";
        assertThat(keys)
                .allSatisfy(key -> assertThat(readme).containsPattern("\\| `" + Pattern.quote(prefix + key) + "[`.]"));
    }
}
