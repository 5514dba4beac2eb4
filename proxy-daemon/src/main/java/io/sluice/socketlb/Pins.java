package io.sluice.socketlb;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The directory of the pinned programs and maps, which keeps them while no process uses them:
 *
 * <pre>
 * DIR/links/HOOK    the attachment of a program to the cgroup, such as connect4
 * DIR/maps-N/NAME   a map of layout version N, such as frontends
 * </pre>
 */
public final class Pins {
    private static final String LINKS = "links";
    private static final String MAPS_PREFIX = "maps-";

    private static final Pattern MAPS = Pattern.compile(MAPS_PREFIX + "\\d+");

    /** A program is detached when the last reference to its link is gone. */
    private static final Comparator<Path> CONNECT_HOOKS_FIRST = Comparator.comparing(
                    (Path link) -> !String.valueOf(link.getFileName()).startsWith("connect"))
            .thenComparing(Comparator.naturalOrder());

    private Pins() {}

    static Path links(Path pins) {
        return pins.resolve(LINKS);
    }

    static Path maps(Path pins, int layout) {
        return pins.resolve(MAPS_PREFIX + layout);
    }

    /** Deletes the maps of other layouts than this one. */
    static void removeOtherMaps(Path pins, int layout) throws IOException {
        for (Path directory : mapDirectories(pins)) {
            if (!directory.equals(maps(pins, layout))) {
                removeDirectory(directory);
            }
        }
    }

    /**
     * Deletes all pins, of any layout version, and the directory if nothing else is in it. Detaches the programs unless a
     * process has them open. The hooks of {@code connect()} are first, so that no connection is redirected that the others
     * no longer know.
     *
     * @param pins need not exist
     * @return whether there was a pin
     * @throws IOException if a pin cannot be deleted; the message is one line with the file and the reason
     */
    public static boolean remove(Path pins) throws IOException {
        if (!Files.isDirectory(pins, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        try {
            boolean found = removeDirectory(links(pins));
            for (Path directory : mapDirectories(pins)) {
                found |= removeDirectory(directory);
            }
            if (list(pins).isEmpty()) {
                Files.deleteIfExists(pins);
            }
            return found;
        } catch (FileSystemException e) {
            String reason = e.getReason() == null ? e.getClass().getSimpleName() : e.getReason();
            throw new IOException("cannot remove '" + e.getFile() + "': " + reason, e);
        }
    }

    private static List<Path> mapDirectories(Path pins) throws IOException {
        return list(pins).stream()
                .filter(each -> MAPS.matcher(String.valueOf(each.getFileName())).matches())
                .toList();
    }

    private static boolean removeDirectory(Path directory) throws IOException {
        boolean found = false;
        for (Path file : list(directory)) {
            found |= Files.deleteIfExists(file);
        }
        if (Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            Files.deleteIfExists(directory);
        }
        return found;
    }

    /** Returns the entries of a directory in the order in which they are deleted; empty if it does not exist. */
    private static List<Path> list(Path directory) throws IOException {
        // A symbolic link can point to files of other programs.
        if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            return List.of();
        }
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.sorted(CONNECT_HOOKS_FIRST).toList();
        } catch (NoSuchFileException e) {
            // Another process deletes them, too.
            return List.of();
        }
    }
}
