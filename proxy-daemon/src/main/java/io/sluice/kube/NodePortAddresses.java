package io.sluice.kube;

import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * On which addresses of the node its node ports answer: kube-proxy's {@code --nodeport-addresses}.
 *
 * <p>Ranges concern their own family, words both. A family that nothing concerns is served on all its addresses, which
 * surprises people and is kube-proxy's rule. Loopback is served only where it is asked for by name: by the word, or by a
 * range that has nothing else in it.
 */
public record NodePortAddresses(Set<Word> words, List<Cidr> ranges) {
    /** What may be given instead of a range. */
    public enum Word {
        /** The first address of each family. */
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

    public NodePortAddresses {
        words = Set.copyOf(words);
        ranges = List.copyOf(ranges);
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

    /** Those of the node's addresses that serve, in the given order, then loopback. */
    List<IpAddress> select(List<IpAddress> node) {
        Set<IpAddress> candidates = new LinkedHashSet<>(node);
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

    private boolean serves(IpAddress address, boolean primary) {
        if (primary && words.contains(Word.PRIMARY)) {
            return true;
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
}
