package io.sluice.node;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What node mode needs of the machine. */
public final class Requirements {
    private static final Pattern VERSION = Pattern.compile("(\\d+)\\.(\\d+)(?:\\.(\\d+))?");
    private static final int CAP_NET_ADMIN = 12;

    private Requirements() {}

    /** The first thing that is missing and what to do about it, on one line; empty if nothing is. */
    public static Optional<String> missing() {
        Optional<String> kernel = olderThan(System.getProperty("os.version", ""), 5, 14, 0)
                .map(version -> "node mode needs Linux 5.14 or newer, and this is " + version);
        if (kernel.isPresent()) {
            return kernel;
        }
        if (!hasNetAdmin()) {
            return Optional.of("node mode needs the capability NET_ADMIN: run as root, or give the container"
                    + " securityContext.capabilities.add: [NET_ADMIN]");
        }
        try {
            Tool.run("", "ip", "-V");
        } catch (IOException e) {
            return Optional.of("node mode needs the program 'ip': install iproute2 (" + e.getMessage() + ")");
        }
        try {
            return olderThan(Tool.run("", "nft", "--version"), 1, 0, 1)
                    .map(version -> "node mode needs nft 1.0.1 or newer, and this is " + version);
        } catch (IOException e) {
            return Optional.of("node mode needs the program 'nft': install nftables (" + e.getMessage() + ")");
        }
    }

    private static Optional<String> olderThan(String text, int... least) {
        Matcher matcher = VERSION.matcher(text);
        if (!matcher.find()) {
            return Optional.empty();
        }
        for (int i = 0; i < least.length; i++) {
            String part = matcher.group(i + 1);
            int have = part == null ? 0 : Integer.parseInt(part);
            if (have != least[i]) {
                return have < least[i] ? Optional.of(matcher.group()) : Optional.empty();
            }
        }
        return Optional.empty();
    }

    private static boolean hasNetAdmin() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("CapEff:")) {
                    long capabilities = Long.parseUnsignedLong(line.substring(7).strip(), 16);
                    return (capabilities >>> CAP_NET_ADMIN & 1) == 1;
                }
            }
            return true;
        } catch (IOException e) {
            // Where it cannot be told, nft will say.
            return true;
        }
    }
}
