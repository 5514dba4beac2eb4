/**
 * Text output for the terminal and the log: aligned tables, counts with plurals, and suggestions for misspelled names.
 * Uses the JDK only.
 */
@NullMarked
package io.sluice.text;

import org.jspecify.annotations.NullMarked;
