package io.sluice.config;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.rules.BuildOptions.AddressMap;
import io.sluice.rules.NodePortAddresses;
import io.sluice.socket.UnixListener;
import io.sluice.socketlb.SocketLbOptions;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Parsers of settings other than a path, number or duration. A parser returns empty if the string is invalid. */
final class SettingParsers {
    private static final Pattern NODE_NAME_TEXT = Pattern.compile("[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?");

    /** A name with at most 63 characters between dots, as in DNS. Unlike in DNS, underscores are allowed. */
    private static final Pattern HOST_NAME = Pattern.compile(
            "(?=.{1,253}$)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*");

    static final Path DEFAULT_ADMIN_SOCKET = Path.of("/run/sluice/admin.sock");

    private SettingParsers() {}

    /** Validates a list of paths. Returns the list as one string, as it is in the configuration of kube-proxy. */
    static Optional<String> paths(String text) {
        boolean possible = Arrays.stream(text.split(File.pathSeparator, -1)).allMatch(ValueType::isPath);
        return possible ? Optional.of(text) : Optional.empty();
    }

    static Optional<String> nodeName(String text) {
        // As in kube-proxy, the name is converted to lower case, because node names are lower case.
        String name = text.strip().toLowerCase(Locale.ROOT);
        return NODE_NAME_TEXT.matcher(name).matches() ? Optional.of(name) : Optional.empty();
    }

    /**
     * The default node name. {@link Configuration#invalidHostNameWarning} reports a host name that is not a valid node
     * name.
     */
    static String hostName() {
        String name = HostName.read();
        return nodeName(name).isPresent() ? name : "localhost";
    }

    static Optional<String> hostNameInUrl(String text) {
        String name = text.strip().toLowerCase(Locale.ROOT);
        return HOST_NAME.matcher(name).matches() ? Optional.of(name) : Optional.empty();
    }

    /** Parses the path of a Unix socket. The inner optional is empty if the string disables the socket. */
    static Optional<Optional<Path>> socketPath(String text) {
        if (text.equals("off")) {
            return Optional.of(Optional.empty());
        }
        if (!ValueType.isPath(text)) {
            return Optional.empty();
        }
        Path path = Path.of(text);
        int bytes = path.toAbsolutePath().toString().getBytes(StandardCharsets.UTF_8).length;
        return bytes > UnixListener.MAX_PATH_BYTES ? Optional.empty() : Optional.of(Optional.of(path));
    }

    static Optional<IpAddress> address(String text) {
        return Optional.ofNullable(IpAddress.parse(text.strip())).filter(address -> !address.isUnspecified());
    }

    static Optional<NodePortAddresses> nodePortAddress(String text) {
        NodePortAddresses.Keyword keyword = NodePortAddresses.Keyword.parse(text.strip());
        return keyword == null
                ? Optional.ofNullable(Cidr.parse(text.strip()))
                        .map(range -> new NodePortAddresses(Set.of(), List.of(range)))
                : Optional.of(new NodePortAddresses(Set.of(keyword), List.of()));
    }

    static Optional<String> detectLocalMode(String text) {
        if (text.equals("BridgeInterface") || text.equals("InterfaceNamePrefix")) {
            throw new IllegalArgumentException(
                    text + " is not supported, because a proxy does not see the interface of a connection; set"
                            + " ClusterCIDR with --cluster-cidr, or NodeCIDR");
        }
        return ValueType.choice("ClusterCIDR", "NodeCIDR").parser().apply(text);
    }

    static Optional<AddressMap> addressMap(String text) {
        int equals = text.indexOf('=');
        if (equals < 0) {
            return Optional.empty();
        }
        Cidr from = range(text.substring(0, equals).strip());
        Cidr to = range(text.substring(equals + 1).strip());
        if (from == null
                || to == null
                || from.prefix() != to.prefix()
                || from.network().family() != to.network().family()) {
            return Optional.empty();
        }
        return Optional.of(new AddressMap(from, to));
    }

    static Optional<SocketLbOptions.Mode> socketLbMode(String text) {
        return ValueType.choice("off", "auto", "required")
                .parser()
                .apply(text)
                .map(mode -> SocketLbOptions.Mode.valueOf(mode.toUpperCase(Locale.ROOT)));
    }

    /**
     * Parses a range of an address map; null if it is invalid. Unlike in other settings, bits that are set beyond the
     * prefix length are an error, because they suggest that another start address was intended.
     */
    private static @Nullable Cidr range(String text) {
        Cidr range = Cidr.parse(text);
        if (range != null && !range.network().equals(IpAddress.parse(text.substring(0, text.indexOf('/'))))) {
            throw new IllegalArgumentException(text + " has bits set beyond its prefix length; did you mean " + range);
        }
        return range;
    }

    /** Parses a listen address. The inner optional is empty if the string disables the server. */
    static Optional<Optional<InetSocketAddress>> bindAddress(String text) {
        if (text.isEmpty() || text.equals("off")) {
            return Optional.of(Optional.empty());
        }
        int colon = text.lastIndexOf(':');
        if (colon <= 0) {
            return Optional.empty();
        }
        String host = text.substring(0, colon);
        boolean brackets = host.startsWith("[") && host.endsWith("]");
        IpAddress address = IpAddress.parse(brackets ? host.substring(1, host.length() - 1) : host);
        Optional<Integer> port = ValueType.number(text.substring(colon + 1), 0, 65_535);
        if (address == null || port.isEmpty() || (address.family() == Family.IPV6) != brackets) {
            return Optional.empty();
        }
        return Optional.of(Optional.of(new InetSocketAddress(address.toInetAddress(), port.get())));
    }
}
