/** Tests of addresses, ranges and snapshots. */
@NullMarked
package io.sluice.model;

import org.jspecify.annotations.NullMarked;
