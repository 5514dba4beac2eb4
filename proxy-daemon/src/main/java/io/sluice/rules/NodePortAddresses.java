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
 * On which addresses of the node its node ports answer: kube-proxy's {@code --nodeport-addresses}.
 *
 * <p>Ranges concern their own family, words both. A family that nothing concerns is served on all its addresses, which
 * surprises people and is kube-proxy's rule. Loopback is served only where it is asked for by name: by the word, or by a
 * range that has nothing else in it. Link-local IPv6 addresses are never served.
 */
public record NodePortAddresses(Set<Word> words, List<Cidr> ranges) {
    /** What may be given instead of a range. */
    public enum Word {
        /** The first address of each family that the Node object has. */
        PRIMARY,
        /** 127.0.0.1 and ::1. */
        LOCALHOST,
        /** All but loopback. */
        ALL;

        /** Null if there is no such word. */
        public static @Nullable Word parse(String text) {
            for (Word word : values()) {
                if (word.text().equals(text)) {
                    return word;
                }
            }
            return null;
        }

        private String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** That of kube-proxy's nftables mode. */
    public static final NodePortAddresses DEFAULT = new NodePortAddresses(Set.of(Word.PRIMARY), List.of());

    private static final IpAddress LOOPBACK_4 = IpAddress.v4(0x7f000001);
    private static final IpAddress LOOPBACK_6 = new IpAddress(0, 1, Family.IPV6);

    private static final Cidr LINK_LOCAL = requireNonNull(Cidr.parse("fe80::/10"));

    /** Not served because a larger range has them. */
    private static final List<Cidr> EXCEPTIONS =
            List.of(requireNonNull(Cidr.parse("127.0.0.0/8")), new Cidr(LOOPBACK_6, 128), LINK_LOCAL);

    public NodePortAddresses {
        words = Set.copyOf(words);
        ranges = List.copyOf(ranges);
    }

    /** All of these together. */
    public static NodePortAddresses merged(List<NodePortAddresses> some) {
        return new NodePortAddresses(
                some.stream().flatMap(each -> each.words.stream()).collect(Collectors.toSet()),
                some.stream().flatMap(each -> each.ranges.stream()).toList());
    }

    /** Whether anything is said about a family; if not, all its addresses serve. */
    boolean concerns(Family family) {
        return !words.isEmpty()
                || ranges.stream().anyMatch(range -> range.network().family() == family);
    }

    /** Whether it is said that every address serves. */
    boolean isAll() {
        return words.contains(Word.ALL) || ranges.stream().anyMatch(range -> range.prefix() == 0);
    }

    /** Whether addresses serve that the Node object need not have: any that an interface of the machine has. */
    public boolean includesInterfaces() {
        return words.contains(Word.ALL) || !ranges.isEmpty();
    }

    /** Whether an address of an interface serves. */
    boolean includesInterfaceAddress(IpAddress address) {
        return includesInterfaces() && serves(address, false);
    }

    /**
     * The addresses that serve: those of the Node, then those of the machine's interfaces, each in the given order, then
     * loopback.
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

    /** Ranges that together have every address that {@link #select} would select. */
    List<Cidr> allRanges(List<IpAddress> node) {
        List<Cidr> all = new ArrayList<>();
        for (Family family : Family.values()) {
            IpAddress primary = primary(node, family);
            if (primary != null && words.contains(Word.PRIMARY)) {
                all.add(new Cidr(primary, primary.family().bits()));
            }
            if (words.contains(Word.LOCALHOST)) {
                IpAddress loopback = family == Family.IPV6 ? LOOPBACK_6 : LOOPBACK_4;
                all.add(new Cidr(loopback, loopback.family().bits()));
            }
            if (words.contains(Word.ALL) || !concerns(family)) {
                addAllowed(new Cidr(IpAddress.unspecified(family), 0), all);
            }
        }
        ranges.forEach(range -> {
            if (range.network().isLoopback()) {
                all.add(range);
            } else {
                addAllowed(range, all);
            }
        });
        return all.stream().distinct().toList();
    }

    /** Halves a range until none of its parts overlaps with one that is not served. */
    private static void addAllowed(Cidr range, List<Cidr> allowed) {
        if (EXCEPTIONS.stream().anyMatch(exception -> exception.covers(range))) {
            return;
        }
        if (EXCEPTIONS.stream().noneMatch(exception -> range.covers(exception))) {
            allowed.add(range);
            return;
        }
        addAllowed(range.half(false), allowed);
        addAllowed(range.half(true), allowed);
    }

    private boolean serves(IpAddress address, boolean primary) {
        if (primary && words.contains(Word.PRIMARY)) {
            return true;
        }
        if (LINK_LOCAL.contains(address)) {
            return false;
        }
        boolean loopback = address.isLoopback();
        if (!loopback && (words.contains(Word.ALL) || !concerns(address.family()))) {
            return true;
        }
        if (words.contains(Word.LOCALHOST) && (address.equals(LOOPBACK_4) || address.equals(LOOPBACK_6))) {
            return true;
        }
        return ranges.stream()
                .anyMatch(range ->
                        range.contains(address) && (!loopback || range.network().isLoopback()));
    }

    /** The node's first address of a family; null if it has none. */
    static @Nullable IpAddress primary(List<IpAddress> node, Family family) {
        for (IpAddress address : node) {
            if (address.family() == family) {
                return address;
            }
        }
        return null;
    }

    /** As the setting is written. */
    @Override
    public String toString() {
        return Stream.concat(
                        words.stream().map(Word::text).sorted(), ranges.stream().map(Cidr::toString))
                .collect(Collectors.joining(","));
    }
}
