/**
 * The desired state as immutable values: the addresses that Sluice serves, and the endpoints of each address.
 *
 * <p>Holds addresses and ranges, service ports with their frontends and routes, snapshots and the differences between
 * them. Knows neither Kubernetes objects nor sockets, and may use only the JDK. An unchanged {@link
 * io.sluice.model.ServicePort} keeps its instance from one snapshot to the next, so the cost of a comparison depends on
 * the number of changes.
 */
@NullMarked
package io.sluice.model;

import org.jspecify.annotations.NullMarked;
