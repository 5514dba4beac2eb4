/**
 * Assembles the running process, starts and stops its components in order, and handles signals and logging.
 *
 * <p>May use every package except {@link io.sluice.cli} and {@link io.sluice.demo}.
 */
@NullMarked
package io.sluice.daemon;

import org.jspecify.annotations.NullMarked;
