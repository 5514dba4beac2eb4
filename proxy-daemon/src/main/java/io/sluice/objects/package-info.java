/**
 * Immutable values for Kubernetes objects (Service, EndpointSlice, Endpoints, Node, ServiceCIDR), and their parsers.
 *
 * <p>The values contain only the fields that Sluice uses. This package may use {@link io.sluice.document} and {@link
 * io.sluice.model}.
 */
@NullMarked
package io.sluice.objects;

import org.jspecify.annotations.NullMarked;
