package io.sluice.kube;

import org.jspecify.annotations.Nullable;

/**
 * A Node, of which only where it stands is of interest, and only if it is this one.
 *
 * @param zone empty if it has no such label
 */
record NodeObject(ObjectKey key, String zone) implements KubeObject {
    @Override
    public @Nullable ServiceKey service() {
        return null;
    }
}
