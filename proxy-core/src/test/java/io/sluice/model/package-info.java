/** Tests of the values and their differences. */
@NullMarked
package io.sluice.model;

import org.jspecify.annotations.NullMarked;
