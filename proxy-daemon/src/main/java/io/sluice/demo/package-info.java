/**
 * Implementation of {@code sluice demo}: its servers, feed and output. May use every package but {@link io.sluice.cli}.
 */
@NullMarked
package io.sluice.demo;

import org.jspecify.annotations.NullMarked;
