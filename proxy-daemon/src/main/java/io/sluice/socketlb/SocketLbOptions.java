package io.sluice.socketlb;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The options of socket-level load balancing.
 *
 * @param cgroup the cgroup v2 directory whose processes are served; null for the root of this machine
 * @param pins directory in a BPF file system in which programs and maps outlive this process
 */
public record SocketLbOptions(Mode mode, @Nullable Path cgroup, Path pins) {
    public static final Path DEFAULT_PINS = Path.of("/sys/fs/bpf/sluice");

    public static final SocketLbOptions OFF = new SocketLbOptions(Mode.OFF, null, DEFAULT_PINS);

    /** Whether connections are decided at the socket if this machine allows it. */
    public boolean isOn() {
        return mode != Mode.OFF;
    }

    /** Whether connections are decided at the socket. */
    public enum Mode {
        /** Never. What another process has left behind is removed. */
        OFF,
        /** If this machine allows it; otherwise all connections go through the forwarder. */
        AUTO,
        /** Always. The process does not start on a machine that does not allow it. */
        REQUIRED
    }
}
