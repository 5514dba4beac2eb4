/**
 * The soak: the real distribution under every kind of load at once, each byte checked, for as long as is asked.
 *
 * <p>Knows nothing of Sluice's classes: it meets the daemon as its users do, through sockets, a feed, metrics and /proc.
 */
@NullMarked
package io.sluice.soak;

import org.jspecify.annotations.NullMarked;
