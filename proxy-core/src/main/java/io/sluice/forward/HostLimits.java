package io.sluice.forward;

import io.netty.channel.epoll.Epoll;
import io.netty.util.internal.PlatformDependent;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Sysctl;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Requirements on the host, and default limits derived from its resources. */
final class HostLimits {
    private static final Logger log = LoggerFactory.getLogger(HostLimits.class);

    private HostLimits() {}

    /** Throws {@link IllegalStateException} with the reason as its message if epoll cannot be used. */
    static void requireEpoll() {
        if (!Epoll.isAvailable()) {
            throw new IllegalStateException(withoutEpoll(Epoll.unavailabilityCause()), Epoll.unavailabilityCause());
        }
    }

    private static String withoutEpoll(Throwable cause) {
        if (!PlatformDependent.normalizedOs().equals("linux")) {
            return "Sluice requires Linux (epoll); on other systems, run the container image";
        }
        Throwable root = cause;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return "cannot load Netty's native epoll library: " + root.getMessage() + "; it is unpacked to '"
                + System.getProperty("java.io.tmpdir") + "', which must be writable and not mounted noexec; set"
                + " -Djava.io.tmpdir to use another directory";
    }

    /** Default limit of bytes buffered for slow readers: half of the direct memory. */
    static long defaultBufferBudget() {
        return PlatformDependent.maxDirectMemory() / 2;
    }

    /**
     * Default limit of UDP flows: half of the descriptors or 70 % of the local ports, whichever is less, because each
     * flow needs a descriptor and a local port that no other socket of this machine uses.
     */
    static int defaultMaxFlows() {
        long ports = 28_232;
        try {
            String[] range = Sysctl.read("net/ipv4/ip_local_port_range").split("\\s+");
            ports = Long.parseLong(range[1]) - Long.parseLong(range[0]) + 1;
        } catch (IOException | NumberFormatException | ArrayIndexOutOfBoundsException e) {
            log.debug("cannot read net.ipv4.ip_local_port_range; assuming the kernel's default of {} ports", ports, e);
        }
        return (int) Math.min(Descriptors.LIMIT / 2, ports * 7 / 10);
    }
}
