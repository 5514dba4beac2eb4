/** Tests of the way from manifests to snapshots. */
@NullMarked
package io.sluice.kube;

import org.jspecify.annotations.NullMarked;
