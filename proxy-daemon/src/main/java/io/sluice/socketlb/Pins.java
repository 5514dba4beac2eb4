package io.sluice.socketlb;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The files in a BPF file system that keep the programs and maps after this process: {@code DIR/links/HOOK} and {@code
 * DIR/maps-LAYOUT/NAME}. Removing a link detaches its program. Needs no library.
 */
public final class Pins {
    private static final String LINKS = "links";
    private static final String MAPS = "maps-";

    private Pins() {}

    static Path links(Path pins) {
        return pins.resolve(LINKS);
    }

    static Path maps(Path pins, int layout) {
        return pins.resolve(MAPS + layout);
    }

    /**
     * Removes all pins, links first, and then the directory. Files of others in it are left.
     *
     * @return whether there was anything to remove
     */
    public static boolean remove(Path pins) throws IOException {
        boolean removed = removeDirectory(links(pins));
        for (Path maps : mapDirectories(pins)) {
            removed |= removeDirectory(maps);
        }
        if (removed && list(pins).isEmpty()) {
            Files.deleteIfExists(pins);
        }
        return removed;
    }

    static void removeOtherMaps(Path pins, int layout) throws IOException {
        for (Path maps : mapDirectories(pins)) {
            if (!maps.equals(maps(pins, layout))) {
                removeDirectory(maps);
            }
        }
    }

    private static List<Path> mapDirectories(Path pins) throws IOException {
        return list(pins).stream()
                .filter(path -> path.getFileName().toString().startsWith(MAPS))
                .toList();
    }

    private static boolean removeDirectory(Path directory) throws IOException {
        for (Path file : list(directory)) {
            Files.delete(file);
        }
        return Files.deleteIfExists(directory);
    }

    private static List<Path> list(Path directory) throws IOException {
        List<Path> files = new ArrayList<>();
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory)) {
            stream.forEach(files::add);
        } catch (NoSuchFileException | NotDirectoryException e) {
            return List.of();
        }
        return files;
    }
}
