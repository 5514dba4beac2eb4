package io.sluice.rules;

import static java.util.Objects.requireNonNull;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Selects the node addresses on which NodePorts are served; the equivalent of kube-proxy's
 * {@code --nodeport-addresses}.
 *
 * <p>A range applies to its own family, a keyword to both. If nothing applies to a family, NodePorts are served on all
 * of its addresses; this is surprising, but kube-proxy does the same. Loopback addresses are served only if requested
 * explicitly: with {@code localhost}, or with a range that contains only loopback addresses. Link-local IPv6 addresses
 * are never served.
 */
public record NodePortAddresses(Set<Keyword> keywords, List<Cidr> ranges) {
    /** A keyword that can be used instead of a range. */
    public enum Keyword {
        /** The first address of each family in the Node object. */
        PRIMARY,
        /** 127.0.0.1 and ::1. */
        LOCALHOST,
        /** All addresses except loopback. */
        ALL;

        /** The keyword with this name; null if there is none. */
        public static @Nullable Keyword parse(String text) {
            for (Keyword keyword : values()) {
                if (keyword.text().equals(text)) {
                    return keyword;
                }
            }
            return null;
        }

        private String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** The default selection, the same as in kube-proxy's nftables mode. */
    public static final NodePortAddresses DEFAULT = new NodePortAddresses(Set.of(Keyword.PRIMARY), List.of());

    private static final IpAddress LOOPBACK_4 = IpAddress.v4(0x7f000001);
    private static final IpAddress LOOPBACK_6 = new IpAddress(0, 1, Family.IPV6);

    private static final Cidr LINK_LOCAL = requireNonNull(Cidr.parse("fe80::/10"));

    /** Ranges that a larger range does not implicitly include. */
    private static final List<Cidr> EXCEPTIONS =
            List.of(requireNonNull(Cidr.parse("127.0.0.0/8")), new Cidr(LOOPBACK_6, 128), LINK_LOCAL);

    public NodePortAddresses {
        keywords = Set.copyOf(keywords);
        ranges = List.copyOf(ranges);
    }

    /** Returns the union of several selections. */
    public static NodePortAddresses merged(List<NodePortAddresses> some) {
        return new NodePortAddresses(
                some.stream().flatMap(each -> each.keywords.stream()).collect(Collectors.toSet()),
                some.stream().flatMap(each -> each.ranges.stream()).toList());
    }

    /** Whether a keyword or range applies to a family. If none does, all addresses of the family are served. */
    boolean concerns(Family family) {
        return !keywords.isEmpty()
                || ranges.stream().anyMatch(range -> range.network().family() == family);
    }

    /** Whether the selection explicitly includes every address. */
    boolean isAll() {
        return keywords.contains(Keyword.ALL) || ranges.stream().anyMatch(range -> range.prefix() == 0);
    }

    /** Whether the selection can include interface addresses that are not in the Node object. */
    public boolean includesInterfaces() {
        return keywords.contains(Keyword.ALL) || !ranges.isEmpty();
    }

    /** Whether NodePorts are served on an address of an interface. */
    boolean includesInterfaceAddress(IpAddress address) {
        return includesInterfaces() && serves(address, false);
    }

    /**
     * The addresses on which NodePorts are served: those of the Node object, then those of the machine's interfaces,
     * each in the given order, then loopback.
     */
    List<IpAddress> select(List<IpAddress> node, List<IpAddress> interfaces) {
        Set<IpAddress> candidates = new LinkedHashSet<>(node);
        candidates.addAll(interfaces);
        candidates.add(LOOPBACK_4);
        candidates.add(LOOPBACK_6);
        List<IpAddress> selected = new ArrayList<>();
        for (IpAddress address : candidates) {
            boolean primary = address.equals(primary(node, address.family()));
            if (serves(address, primary)) {
                selected.add(address);
            }
        }
        return selected;
    }

    /** Ranges that contain exactly the addresses that {@link #select} would select. */
    List<Cidr> allRanges(List<IpAddress> node) {
        List<Cidr> all = new ArrayList<>();
        for (Family family : Family.values()) {
            IpAddress primary = primary(node, family);
            if (primary != null && keywords.contains(Keyword.PRIMARY)) {
                all.add(new Cidr(primary, primary.family().bits()));
            }
            if (keywords.contains(Keyword.LOCALHOST)) {
                IpAddress loopback = family == Family.IPV6 ? LOOPBACK_6 : LOOPBACK_4;
                all.add(new Cidr(loopback, loopback.family().bits()));
            }
            if (keywords.contains(Keyword.ALL) || !concerns(family)) {
                addServed(new Cidr(IpAddress.unspecified(family), 0), all);
            }
        }
        ranges.forEach(range -> {
            if (range.network().isLoopback()) {
                all.add(range);
            } else {
                addServed(range, all);
            }
        });
        return all.stream().distinct().toList();
    }

    /** Splits a range in halves until no part overlaps one of the exceptions. */
    private static void addServed(Cidr range, List<Cidr> allowed) {
        if (EXCEPTIONS.stream().anyMatch(exception -> exception.covers(range))) {
            return;
        }
        if (EXCEPTIONS.stream().noneMatch(exception -> range.covers(exception))) {
            allowed.add(range);
            return;
        }
        addServed(range.half(false), allowed);
        addServed(range.half(true), allowed);
    }

    private boolean serves(IpAddress address, boolean primary) {
        if (primary && keywords.contains(Keyword.PRIMARY)) {
            return true;
        }
        if (LINK_LOCAL.contains(address)) {
            return false;
        }
        boolean loopback = address.isLoopback();
        if (!loopback && (keywords.contains(Keyword.ALL) || !concerns(address.family()))) {
            return true;
        }
        if (keywords.contains(Keyword.LOCALHOST) && (address.equals(LOOPBACK_4) || address.equals(LOOPBACK_6))) {
            return true;
        }
        return ranges.stream()
                .anyMatch(range ->
                        range.contains(address) && (!loopback || range.network().isLoopback()));
    }

    /** The primary address of a node in a family, which is the first one; null if there is none. */
    static @Nullable IpAddress primary(List<IpAddress> node, Family family) {
        for (IpAddress address : node) {
            if (address.family() == family) {
                return address;
            }
        }
        return null;
    }

    /** Formats the selection in the syntax of the setting. */
    @Override
    public String toString() {
        return Stream.concat(
                        keywords.stream().map(Keyword::text).sorted(),
                        ranges.stream().map(Cidr::toString))
                .collect(Collectors.joining(","));
    }
}
