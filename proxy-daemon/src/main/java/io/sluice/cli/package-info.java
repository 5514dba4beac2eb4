/**
 * Command line: commands, flags, exit codes, and the client of the admin API of a running daemon. May use every other
 * package.
 */
@NullMarked
package io.sluice.cli;

import org.jspecify.annotations.NullMarked;
