package io.sluice.config;

import io.sluice.GeneratedSection;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** The tables in {@code deploy/docs/configuration.md}. */
final class ConfigurationReferenceTest {
    private static final Path DOCUMENT = Path.of("../deploy/docs/configuration.md");

    @Test
    void settingsAreThoseOfTheCode() throws Exception {
        StringBuilder text = new StringBuilder();
        for (SettingGroup group : SettingGroup.values()) {
            text.append("### ").append(group.heading()).append("\n\n");
            text.append("| flag | key | default | meaning |\n|---|---|---|---|\n");
            for (Setting<?> setting : Setting.values()) {
                if (SettingGroup.of(setting) == group) {
                    text.append(row(setting));
                }
            }
            text.append('\n');
        }
        GeneratedSection.check(DOCUMENT, "settings", text.toString());
    }

    private static String row(Setting<?> setting) {
        String flags = String.join("`, `", setting.flags());
        String meaning = setting.description() + (setting.isBoolean() ? "" : " Value: " + setting.allowed() + ".");
        return "| `" + flags + "` | `" + setting.key() + "`" + (setting.isList() ? " (list)" : "") + " | "
                + code(setting.documentedDefault()) + " | " + escaped(meaning) + " |\n";
    }

    /** A default that describes how a value is found, such as "host name", is not a value itself. */
    private static String code(String value) {
        return value.isEmpty() || value.contains(" ") ? value : "`" + value + "`";
    }

    private static String escaped(String text) {
        return text.replace("*", "\\*").replace("|", "\\|").replace("<", "\\<");
    }

    @Test
    void keysOfKubeProxyAreThoseOfTheCode() throws Exception {
        StringBuilder text = new StringBuilder("| key of `KubeProxyConfiguration` | key of `SluiceConfiguration` |\n");
        text.append("|---|---|\n");
        Map<String, Setting<?>> keys = new TreeMap<>(KubeProxyDocument.honoredKeys());
        keys.forEach((key, setting) -> text.append("| `" + key + "` | `" + setting.key() + "` |\n"));
        GeneratedSection.check(DOCUMENT, "kube-proxy", text.toString());
    }
}
