/**
 * Text for people: aligned tables, counts of things, and suggestions for misspelled names. Uses the JDK only.
 */
@NullMarked
package io.sluice.text;

import org.jspecify.annotations.NullMarked;
