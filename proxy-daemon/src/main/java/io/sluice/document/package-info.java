/**
 * Reads YAML and JSON strictly and within limits: one document after another, fields with their paths, and a
 * {@link io.sluice.document.Problem} for everything that is wrong with them.
 *
 * <p>Knows no Kubernetes kind. May use {@link io.sluice.model} for addresses and ranges, Jackson and its YAML parser.
 */
@NullMarked
package io.sluice.document;

import org.jspecify.annotations.NullMarked;
