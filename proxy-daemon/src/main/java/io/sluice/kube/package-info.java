/**
 * From Kubernetes objects to a {@link io.sluice.model.ServiceSnapshot}: reflectors, the object store, the rules and the
 * loop that decides when a new snapshot is due.
 *
 * <p>Knows {@link io.sluice.model}, {@link io.sluice.thread}, Jackson and, to ask API servers, the JDK's HTTP client;
 * nothing of the sockets that forward. The rules are pure functions of objects, so that the same ones answer the data path
 * and the command line.
 */
@NullMarked
package io.sluice.kube;

import org.jspecify.annotations.NullMarked;
