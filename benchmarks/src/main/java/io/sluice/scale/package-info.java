/**
 * How long the daemon takes to start, as its users see it. What a change costs and how much memory a Service takes stands
 * beside the classes it is about.
 *
 * <p>Knows nothing of Sluice's classes.
 */
@NullMarked
package io.sluice.scale;

import org.jspecify.annotations.NullMarked;
