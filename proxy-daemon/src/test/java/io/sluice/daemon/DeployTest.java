package io.sluice.daemon;

import static io.sluice.daemon.Manifests.DEPLOY;
import static io.sluice.daemon.Manifests.KUBERNETES;
import static io.sluice.daemon.Manifests.documents;
import static io.sluice.daemon.Manifests.only;
import static io.sluice.daemon.Manifests.strings;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.cli.Main;
import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.config.Setting;
import io.sluice.config.Settings;
import io.sluice.socketlb.SocketLbOptions;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.ParseResult;
import tools.jackson.databind.JsonNode;

/** Checks that the files in {@code deploy/} use flags, settings and defaults that the daemon has. */
final class DeployTest {
    @TempDir
    private Path directory;

    /** Returns the settings of a command line; fails if the daemon does not have one of its flags. */
    private static Configuration configuration(List<String> arguments, @Nullable Path config)
            throws ConfigurationException {
        ParseResult parsed = Main.commandLine(Map.of(), InputStream.nullInputStream())
                .parseArgs(arguments.toArray(String[]::new))
                .subcommand();
        return Main.configuration(Objects.requireNonNull(parsed), config);
    }

    private static Settings check(List<JsonNode> objects, Path config) throws Exception {
        JsonNode pod = only(objects, "DaemonSet").at("/spec/template/spec");
        JsonNode container = pod.path("containers").path(0);
        List<String> arguments = strings(container.path("args")).stream()
                .map(argument -> argument.replace("$(NODE_NAME)", "node-a"))
                .toList();
        assertThat(arguments).contains("--config=/etc/sluice/config.yaml");
        Configuration configuration = configuration(arguments, config);
        assertThat(configuration.warnings()).isEmpty();
        assertThat(configuration.withoutEffect()).isEmpty();
        Settings settings = configuration.settings();
        assertThat(settings.rules()).as("node mode").isNotNull();
        assertThat(settings.buildOptions().nodeName()).isEqualTo("node-a");

        for (String probe : List.of("startupProbe", "livenessProbe")) {
            JsonNode request = container.path(probe).path("httpGet");
            assertThat(request.path("path").stringValue("")).as(probe).isEqualTo("/livez");
            assertThat(request.path("port").intValue(0))
                    .as(probe)
                    .isEqualTo(Objects.requireNonNull(settings.healthzBindAddress())
                            .getPort());
        }
        Path ready = Objects.requireNonNull(settings.readyFile());
        assertThat(Objects.requireNonNull(settings.handoverMarker()).getParent())
                .as("the same volume of the pod, which outlives its containers")
                .isEqualTo(ready.getParent());
        assertThat(strings(container.at("/readinessProbe/exec/command")))
                .containsExactly("test", "-f", ready.toString());
        String volume = container
                .path("volumeMounts")
                .valueStream()
                .filter(mount -> mount.path("mountPath").stringValue("").equals(String.valueOf(ready.getParent())))
                .map(mount -> mount.path("name").stringValue())
                .findFirst()
                .orElseThrow();
        assertThat(pod.path("volumes").valueStream())
                .as("an emptyDir of the pod")
                .anyMatch(each -> each.path("name").stringValue("").equals(volume) && each.has("emptyDir"));

        assertThat(pod.path("terminationGracePeriodSeconds").longValue())
                .isGreaterThan(settings.drainTimeout().toSeconds());
        assertThat(container.has("ports")).isFalse();
        assertThat(only(objects, "ClusterRole").path("rules")).isEqualTo(documentedClusterRoleRules());
        return settings;
    }

    private static JsonNode documentedClusterRoleRules() throws Exception {
        String document = Files.readString(DEPLOY.resolve("docs/api-server.md"));
        int start = document.indexOf("rules:\n- {apiGroups");
        return documents(document.substring(start, document.indexOf("```", start)))
                .get(0)
                .path("rules");
    }

    @Test
    void baseManifestMatchesTheBinary() throws Exception {
        List<JsonNode> objects = new ArrayList<>();
        for (String file : List.of("rbac.yaml", "daemonset.yaml")) {
            objects.addAll(documents(Files.readString(KUBERNETES.resolve("base").resolve(file))));
        }
        Settings settings = check(objects, KUBERNETES.resolve("base/config.yaml"));
        assertThat(Objects.requireNonNull(settings.healthzBindAddress()).toString())
                .endsWith(Setting.HEALTHZ_BIND_ADDRESS.defaultText());
    }

    @ParameterizedTest
    @ValueSource(strings = {"beside-kube-proxy", "instead-of-kube-proxy"})
    void overlayMatchesTheBinary(String overlay) throws Exception {
        List<JsonNode> objects = Manifests.overlay(overlay);
        Path config = Files.writeString(
                directory.resolve("config.yaml"),
                only(objects, "ConfigMap").at("/data/config.yaml").stringValue());
        Settings settings = check(objects, config);

        boolean besideKubeProxy = overlay.startsWith("beside");
        assertThat(settings.buildOptions().serviceProxyName()).isEqualTo(besideKubeProxy ? "sluice" : "");
        int kubeProxyPort = 10256;
        assertThat(Objects.requireNonNull(settings.healthzBindAddress()).getPort() == kubeProxyPort)
                .isNotEqualTo(besideKubeProxy);
        JsonNode environment = only(objects, "DaemonSet").at("/spec/template/spec/containers/0/env");
        assertThat(environment
                        .valueStream()
                        .anyMatch(each -> each.path("name").stringValue("").equals("KUBERNETES_SERVICE_HOST")))
                .as("the address of the API server, which does not depend on its Service")
                .isNotEqualTo(besideKubeProxy);
    }

    /** The variable names the file that the volume puts there, if the cluster has the ConfigMap. */
    @Test
    void findsTheKubeconfigOfKubeProxy() throws Exception {
        JsonNode pod =
                only(Manifests.overlay("instead-of-kube-proxy"), "DaemonSet").at("/spec/template/spec");
        JsonNode volume = pod.path("volumes")
                .valueStream()
                .filter(each -> each.path("name").stringValue().equals("kube-proxy"))
                .findFirst()
                .orElseThrow();
        assertThat(volume.at("/configMap/name").stringValue()).isEqualTo("kube-proxy");
        assertThat(volume.at("/configMap/optional").booleanValue()).isTrue();
        String directoryOfKubeProxy = pod.at("/containers/0/volumeMounts")
                .valueStream()
                .filter(each -> each.path("name").stringValue().equals("kube-proxy"))
                .map(each -> each.path("mountPath").stringValue())
                .findFirst()
                .orElseThrow();
        assertThat(pod.at("/containers/0/env").valueStream())
                .anyMatch(each -> each.path("name").stringValue().equals("KUBECONFIG")
                        && each.path("value")
                                .stringValue("")
                                .equals(directoryOfKubeProxy
                                        + "/"
                                        + volume.at("/configMap/items/0/path").stringValue()));
    }

    /** The runtime that deploy/README.md creates is that of the image, which is tested. */
    @Test
    void readmeCreatesTheRuntimeOfTheImage() throws Exception {
        Pattern modules = Pattern.compile("jlink --output .*--add-modules \\\\\n\\s+(\\S+)");
        List<String> found = new ArrayList<>();
        for (String file : List.of("Dockerfile", "README.md")) {
            Matcher command = modules.matcher(Files.readString(DEPLOY.resolve(file)));
            assertThat(command.find()).as(file).isTrue();
            found.add(command.group(1));
        }
        assertThat(found.get(1)).isEqualTo(found.get(0));
    }

    /** The paths of the flags are those at which the node's directories are mounted. */
    @Test
    void componentOfSocketLbMatchesTheBinary() throws Exception {
        List<JsonNode> objects = Manifests.overlay("beside-kube-proxy", "socket-lb", directory);
        Path config = Files.writeString(
                directory.resolve("config.yaml"),
                only(objects, "ConfigMap").at("/data/config.yaml").stringValue());
        SocketLbOptions socketLb = check(objects, config).socketLb();
        assertThat(socketLb.mode()).isEqualTo(SocketLbOptions.Mode.AUTO);
        JsonNode pod = only(objects, "DaemonSet").at("/spec/template/spec");
        JsonNode container = pod.path("containers").path(0);
        assertThat(hostPath(pod, Objects.requireNonNull(socketLb.cgroup()))).isEqualTo("/sys/fs/cgroup");
        assertThat(hostPath(pod, Objects.requireNonNull(socketLb.pins().getParent())))
                .isEqualTo("/sys/fs/bpf");
        assertThat(strings(container.at("/securityContext/capabilities/add")))
                .containsExactly("NET_ADMIN", "NET_BIND_SERVICE", "BPF");
        assertThat(container.at("/securityContext/privileged").isMissingNode()).isTrue();
    }

    /** Returns the directory of the node that is mounted at a path of the container. */
    private static String hostPath(JsonNode pod, Path mountPath) {
        JsonNode mount = pod.at("/containers/0/volumeMounts")
                .valueStream()
                .filter(each -> each.path("mountPath").stringValue("").equals(mountPath.toString()))
                .findFirst()
                .orElseThrow();
        return pod.path("volumes")
                .valueStream()
                .filter(each -> each.path("name").equals(mount.path("name")))
                .map(each -> each.at("/hostPath/path").stringValue(""))
                .findFirst()
                .orElseThrow();
    }

    /** Each example is a feed, and its comment contains the command that serves it. */
    @ParameterizedTest
    @ValueSource(strings = {"web.yaml", "dns.yaml", "apiserver-lb/apiservers.yaml", "node-mode/node.yaml"})
    void commandInAnExampleServesIt(String example) throws Exception {
        Path file = DEPLOY.resolve("examples").resolve(example);
        Matcher feed = Pattern.compile("sluice run .*--feed (deploy/\\S+)").matcher(Files.readString(file));
        assertThat(feed.find()).isTrue();
        Path named = DEPLOY.resolveSibling(feed.group(1));
        assertThat(file.startsWith(named)).as("%s in %s", named, file).isTrue();
        StringWriter out = new StringWriter();
        CommandLine check = Main.commandLine(Map.of(), InputStream.nullInputStream());
        check.setOut(new PrintWriter(out));
        assertThat(check.execute("check", "--feed", named.toString(), "--node-name", "me"))
                .as(out.toString())
                .isZero();
        assertThat(out.toString()).contains(" 0 warnings");
    }

    /** The directory of the admin socket is shared by both pods of an update, as that of the handover socket is. */
    @Test
    void socketsAreInADirectoryOfTheNode() throws Exception {
        JsonNode pod = documents(Files.readString(KUBERNETES.resolve("base/daemonset.yaml")))
                .get(0)
                .at("/spec/template/spec");
        assertThat(strings(pod.at("/containers/0/args"))).contains("--handover-socket=/run/sluice/handover.sock");
        JsonNode mount = pod.at("/containers/0/volumeMounts")
                .valueStream()
                .filter(each -> each.path("mountPath").stringValue("").equals("/run/sluice"))
                .findFirst()
                .orElseThrow();
        assertThat(mount.has("readOnly")).isFalse();
        assertThat(pod.path("volumes").valueStream())
                .anyMatch(each -> each.path("name").equals(mount.path("name"))
                        && each.at("/hostPath/path").stringValue("").equals("/run/sluice"));
    }

    @Test
    void systemdUnitMatchesTheBinary() throws Exception {
        List<String> unit = Files.readAllLines(DEPLOY.resolve("systemd/sluice.service"));
        List<String> arguments = Arrays.asList(value(unit, "ExecStart").split(" "));
        Settings settings =
                configuration(arguments.subList(1, arguments.size()), null).settings();
        assertThat(Long.parseLong(value(unit, "TimeoutStopSec")))
                .isGreaterThan(settings.drainTimeout().toSeconds());
        assertThat(value(unit, "Type")).isEqualTo("notify");
        assertThat(value(unit, "NotifyAccess"))
                .as("the new process of an upgrade")
                .isEqualTo("all");
        Path runtimeDirectory = Path.of("%t", value(unit, "RuntimeDirectory"));
        assertThat(settings.handoverSocket()).hasParentRaw(runtimeDirectory);
        assertThat(settings.exitAfterHandover()).isTrue();

        List<String> reload = Arrays.asList(value(unit, "ExecReload").split(" "));
        assertThat(reload.get(0)).isEqualTo(arguments.get(0));
        ParseResult upgrade = Main.commandLine(Map.of(), InputStream.nullInputStream())
                .parseArgs(reload.subList(1, reload.size()).toArray(String[]::new))
                .subcommand();
        assertThat(upgrade.commandSpec().name()).isEqualTo("upgrade");
        assertThat(upgrade.matchedOptionValue("--admin-socket", Path.of("")))
                .isEqualTo(settings.admin().socket())
                .hasParentRaw(runtimeDirectory);
        String timeout = upgrade.matchedOptionValue("--timeout", "");
        assertThat(Long.parseLong(value(unit, "TimeoutStartSec")))
                .isGreaterThan(Long.parseLong(timeout.replace("s", "")));
    }

    private static String value(List<String> unit, String key) {
        return unit.stream()
                .filter(line -> line.startsWith(key + "="))
                .map(line -> line.substring(key.length() + 1))
                .findFirst()
                .orElseThrow();
    }
}
