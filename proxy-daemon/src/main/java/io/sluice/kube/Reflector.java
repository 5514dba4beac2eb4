package io.sluice.kube;

import java.util.List;

/** Keeps the store equal to something outside: files, or an API server. */
public interface Reflector extends AutoCloseable {
    void start();

    /** How well each collection is followed; empty for files. Any thread. */
    List<WatchStatus> watches();

    @Override
    void close();
}
