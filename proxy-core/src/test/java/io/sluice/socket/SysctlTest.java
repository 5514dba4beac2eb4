package io.sluice.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class SysctlTest {
    /** Reads values of more than one character, because a read of a single character would truncate them. */
    @ParameterizedTest
    @ValueSource(strings = {"net/ipv4/ip_local_port_range", "net/core/somaxconn", "kernel/osrelease"})
    void readsTheSameValueAsCat(String name) throws IOException {
        Process cat = new ProcessBuilder("cat", "/proc/sys/" + name).start();
        String printed = new String(cat.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
        assertThat(printed).hasSizeGreaterThan(2).endsWith("\n");
        assertThat(Sysctl.read(name) + "\n").isEqualTo(printed);
    }

    @Test
    void failsForAnUnknownSetting() {
        assertThatThrownBy(() -> Sysctl.read("net/no_such_setting")).isInstanceOf(NoSuchFileException.class);
    }
}
