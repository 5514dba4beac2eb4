package io.sluice.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * This machine's name, as the kernel has it.
 *
 * <p>{@code InetAddress.getLocalHost} would look the name up in DNS: a resolver that does not answer delays that for tens of
 * seconds, and the kubelet then kills the pod before it has started.
 */
final class HostName {
    private static final Logger log = LoggerFactory.getLogger(HostName.class);
    private static final Path KERNEL = Path.of("/proc/sys/kernel/hostname");

    private HostName() {}

    /** In lower case, as kube-proxy derives the node name from it; empty if it cannot be read. */
    static String read() {
        try {
            return Files.readString(KERNEL).strip().toLowerCase(Locale.ROOT);
        } catch (IOException e) {
            log.debug("{} cannot be read", KERNEL, e);
            return "";
        }
    }
}
