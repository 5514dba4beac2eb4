package io.sluice.feed;

import io.sluice.thread.Supervisor;
import java.util.List;

/** Keeps the object store in sync with a source: files or an API server. */
public interface Reflector extends AutoCloseable {
    /** Starts watching the source on its own threads. */
    void start(Supervisor supervisor);

    /** The watch status of each collection; empty for files. Thread-safe. */
    List<WatchStatus> watches();

    /** Rescans the whole source; does nothing if the source pushes its changes. Thread-safe once started. */
    void rescan();

    @Override
    void close();
}
