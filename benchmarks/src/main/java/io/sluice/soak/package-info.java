/**
 * The soak test: runs the distribution under every kind of load at once for a given time and checks each byte.
 *
 * <p>Uses none of Sluice's classes. It observes the daemon through sockets, a feed, metrics and /proc.
 */
@NullMarked
package io.sluice.soak;

import org.jspecify.annotations.NullMarked;
