/**
 * The desired state, as immutable values: which addresses answer, and which endpoints answer for them.
 *
 * <p>This package knows nothing of Kubernetes objects and nothing of sockets, and uses the JDK only. Snapshots are
 * compared, never changed: an unchanged {@link io.sluice.model.ServicePort} keeps its instance from one snapshot to
 * the next, so that finding what changed costs what changed.
 */
@NullMarked
package io.sluice.model;

import org.jspecify.annotations.NullMarked;
