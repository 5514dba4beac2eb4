/** Tests of socket-level load balancing. */
@NullMarked
package io.sluice.socketlb;

import org.jspecify.annotations.NullMarked;
