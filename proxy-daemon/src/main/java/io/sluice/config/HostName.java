package io.sluice.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads the host name of this machine from the kernel.
 *
 * <p>{@code InetAddress.getLocalHost} would also resolve the name. If the DNS server does not respond, the lookup takes
 * tens of seconds, and the kubelet kills the pod before it has started.
 */
final class HostName {
    private static final Logger log = LoggerFactory.getLogger(HostName.class);
    private static final Path KERNEL = Path.of("/proc/sys/kernel/hostname");

    private HostName() {}

    /** Returns the host name in lower case, as kube-proxy uses it; empty if it cannot be read. */
    static String read() {
        try {
            return Files.readString(KERNEL).strip().toLowerCase(Locale.ROOT);
        } catch (IOException e) {
            log.debug("cannot read {}", KERNEL, e);
            return "";
        }
    }
}
