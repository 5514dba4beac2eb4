/**
 * Kubernetes objects as immutable values (Service, EndpointSlice, Endpoints, Node, ServiceCIDR) and their parsers.
 *
 * <p>Holds what Sluice uses of an object, not the whole of it. May use {@link io.sluice.document} and
 * {@link io.sluice.model}.
 */
@NullMarked
package io.sluice.objects;

import org.jspecify.annotations.NullMarked;
