package io.sluice.forward;

import io.netty.channel.epoll.Epoll;
import io.netty.util.internal.PlatformDependent;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Sysctl;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What this machine has, and so how much the forwarder may take where its configuration does not say. */
final class HostLimits {
    private static final Logger log = LoggerFactory.getLogger(HostLimits.class);

    private HostLimits() {}

    /** @throws IllegalStateException where epoll cannot be used, saying why */
    static void requireEpoll() {
        if (!Epoll.isAvailable()) {
            throw new IllegalStateException(withoutEpoll(Epoll.unavailabilityCause()), Epoll.unavailabilityCause());
        }
    }

    private static String withoutEpoll(Throwable cause) {
        if (!PlatformDependent.normalizedOs().equals("linux")) {
            return "Sluice needs Linux and its epoll; elsewhere, run the container image";
        }
        Throwable root = cause;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return "Netty's library for epoll cannot be loaded: " + root.getMessage() + "; it is unpacked to "
                + System.getProperty("java.io.tmpdir") + ", which must be writable and allow execution"
                + " (-Djava.io.tmpdir names another folder)";
    }

    /** Half of the memory for buffers outside the heap. */
    static long heldBytes() {
        return PlatformDependent.maxDirectMemory() / 2;
    }

    /** Each flow takes a descriptor, and a local port that is its own on the whole machine. */
    static int mostFlows() {
        long ports = 28_232;
        try {
            String[] range = Sysctl.read("net/ipv4/ip_local_port_range").split("\\s+");
            ports = Long.parseLong(range[1]) - Long.parseLong(range[0]) + 1;
        } catch (IOException | NumberFormatException | ArrayIndexOutOfBoundsException e) {
            log.debug("local port range unknown, assuming the kernel's default", e);
        }
        return (int) Math.min(Descriptors.LIMIT / 2, ports * 7 / 10);
    }
}
