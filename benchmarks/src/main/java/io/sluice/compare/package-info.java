/**
 * Sluice beside its peers: the same loads through each of them in turn, on a network of namespaces made for the purpose.
 *
 * <p>Knows nothing of Sluice's classes: it meets the daemon as its users do, through sockets, a feed and /proc.
 */
@NullMarked
package io.sluice.compare;

import org.jspecify.annotations.NullMarked;
