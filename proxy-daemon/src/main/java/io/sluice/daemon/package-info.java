/**
 * The process: command line, configuration, life cycle, health and metrics.
 *
 * <p>Puts the parts together and owns nothing of what they know. May use every other package.
 */
@NullMarked
package io.sluice.daemon;

import org.jspecify.annotations.NullMarked;
