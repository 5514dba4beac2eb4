package io.sluice.cli;

import io.sluice.document.Problem;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * The files of {@code sluice debug-bundle}. A file that cannot be collected does not prevent the others: {@code
 * collection.txt} lists the result for each.
 */
final class DebugBundle {
    private static final String RESULTS = "collection.txt";

    private final Map<String, byte[]> files = new TreeMap<>();
    private final Map<String, String> failures = new LinkedHashMap<>();
    private final StringBuilder results = new StringBuilder();

    /** Reads the content of a file. */
    interface Source {
        String read() throws IOException, CommandFailedException, InterruptedException;
    }

    /** Adds a file, or the reason why its content cannot be read. */
    void collect(String name, Source source) throws InterruptedException {
        try {
            byte[] content = source.read().getBytes(StandardCharsets.UTF_8);
            files.put(name, content);
            results.append(name).append(": ").append(content.length).append(" bytes\n");
        } catch (IOException | CommandFailedException e) {
            failed(name, String.valueOf(e.getMessage()));
        }
    }

    /** Records why a file is missing. */
    void failed(String name, String reason) {
        String line = Problem.oneLine(reason);
        failures.put(name, line);
        results.append(name).append(": not collected: ").append(line).append('\n');
    }

    /** The files that could not be collected, with the reasons. */
    Map<String, String> failures() {
        return failures;
    }

    /** The number of files, with the list of results. */
    int size() {
        return files.size() + 1;
    }

    private Map<String, byte[]> withResults() {
        Map<String, byte[]> all = new TreeMap<>(files);
        all.put(RESULTS, results.toString().getBytes(StandardCharsets.UTF_8));
        return all;
    }

    /** Writes a new archive that only its owner can read. Its files are in a directory with the name of the archive. */
    void writeArchive(Path archive, String directory, Instant time) throws IOException {
        try (OutputStream file = newFile(archive);
                TarGzWriter tar = new TarGzWriter(file, time)) {
            for (Map.Entry<String, byte[]> each : withResults().entrySet()) {
                tar.add(directory + "/" + each.getKey(), each.getValue());
            }
        }
    }

    /** Writes the files to a new directory that only its owner can read. */
    void writeDirectory(Path directory) throws IOException {
        Files.createDirectory(directory, permissions("rwx------"));
        for (Map.Entry<String, byte[]> each : withResults().entrySet()) {
            try (OutputStream file = newFile(directory.resolve(each.getKey()))) {
                file.write(each.getValue());
            }
        }
    }

    /** Creates a file with its final permissions, so that other users cannot open it before they are set. */
    private static OutputStream newFile(Path file) throws IOException {
        Files.createFile(file, permissions("rw-------"));
        return Files.newOutputStream(file, StandardOpenOption.WRITE);
    }

    private static FileAttribute<Set<PosixFilePermission>> permissions(String text) {
        return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(text));
    }
}
