/**
 * Reads YAML and JSON documents strictly and within limits, and reports each error as a {@link
 * io.sluice.document.Problem} with the path of the field.
 *
 * <p>This package does not depend on Kubernetes kinds. It may use {@link io.sluice.model} for addresses and ranges,
 * Jackson and its YAML parser.
 */
@NullMarked
package io.sluice.document;

import org.jspecify.annotations.NullMarked;
