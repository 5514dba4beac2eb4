/** Tests of the rules, from manifests to snapshots. */
@NullMarked
package io.sluice.rules;

import org.jspecify.annotations.NullMarked;
