/** Tests of the Service rules, from manifests to snapshots. */
@NullMarked
package io.sluice.rules;

import org.jspecify.annotations.NullMarked;
