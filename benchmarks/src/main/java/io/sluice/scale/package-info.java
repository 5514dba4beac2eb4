/**
 * Measures how long the daemon takes to start. The benchmarks of changes and of memory are in the packages of the
 * measured classes.
 *
 * <p>Uses none of Sluice's classes.
 */
@NullMarked
package io.sluice.scale;

import org.jspecify.annotations.NullMarked;
