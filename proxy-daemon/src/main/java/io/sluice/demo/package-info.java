/**
 * Implementation of {@code sluice demo}: servers, feed and output. May use every package except {@link io.sluice.cli}.
 */
@NullMarked
package io.sluice.demo;

import org.jspecify.annotations.NullMarked;
