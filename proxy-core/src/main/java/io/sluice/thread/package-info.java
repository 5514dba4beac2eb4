/**
 * Starts and supervises all threads of the process.
 *
 * <p>Holds the supervisor, which restarts threads that die and reports those that have failed, and the event loops of
 * Netty. No other package starts a thread. May use Netty and slf4j; knows no other package of Sluice.
 */
@NullMarked
package io.sluice.thread;

import org.jspecify.annotations.NullMarked;
