/**
 * Immutable values for Kubernetes objects (Service, EndpointSlice, Endpoints, Node, ServiceCIDR), and their parsers.
 *
 * <p>Contains only the fields that Sluice uses. May use {@link io.sluice.document} and
 * {@link io.sluice.model}.
 */
@NullMarked
package io.sluice.objects;

import org.jspecify.annotations.NullMarked;
