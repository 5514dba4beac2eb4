package io.sluice.feed;

import io.sluice.thread.Supervisor;
import java.util.List;

/** Keeps the object store in sync with a source: files or an API server. */
public interface Reflector extends AutoCloseable {
    /** Starts to watch the source, on threads of its own. */
    void start(Supervisor supervisor);

    /** The state of the watch of each collection; empty for files. Any thread. */
    List<WatchStatus> watches();

    /** Scans the whole source again, unless the source pushes its changes. Any thread, once started. */
    void rescan();

    @Override
    void close();
}
