/**
 * Command line: commands, flags and exit codes. May use every other package.
 */
@NullMarked
package io.sluice.cli;

import org.jspecify.annotations.NullMarked;
