/**
 * Starts the threads of the process, restarts those that die and reports those that no longer work.
 *
 * <p>No other package starts a thread. Knows the JDK, Netty and slf4j only.
 */
@NullMarked
package io.sluice.thread;

import org.jspecify.annotations.NullMarked;
