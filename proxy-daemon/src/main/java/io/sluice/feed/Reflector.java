package io.sluice.feed;

import io.sluice.thread.Supervisor;
import java.util.List;

/** Keeps the store equal to something outside: files, or an API server. */
public interface Reflector extends AutoCloseable {
    /** Starts to follow it, on threads of its own. */
    void start(Supervisor supervisor);

    /** How well each collection is followed; empty for files. Any thread. */
    List<WatchStatus> watches();

    /** Looks at all of it again now, if it is not told of changes by the source. Any thread, once started. */
    void rescan();

    @Override
    void close();
}
