package io.sluice.kube;

import io.sluice.model.ServiceSnapshot;
import java.nio.file.Path;
import java.util.List;

/** Keeps the store equal to the manifests in a file or a folder, and follows their changes. */
public final class FileReflector implements AutoCloseable {

    public FileReflector(Path feed, SyncLoop loop) {}

    /** Starts the watching thread. A feed that does not exist yet is waited for, and reported once. */
    public void start() {}

    @Override
    public void close() {}

    /** Reads the feed once, without following it: what would be programmed, and every problem found. */
    public static Reading read(Path feed, BuildOptions options) {
        return new Reading(ServiceSnapshot.empty(), List.of());
    }

    /** What a feed says. */
    public record Reading(ServiceSnapshot snapshot, List<Problem> problems) {}
}
