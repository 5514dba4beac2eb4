/**
 * {@code sluice demo}: its servers, its feed and what it prints. May use every package but {@link io.sluice.cli}.
 */
@NullMarked
package io.sluice.demo;

import org.jspecify.annotations.NullMarked;
