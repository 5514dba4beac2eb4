/**
 * The Kubernetes Service rules: builds a {@link io.sluice.model.ServiceSnapshot} from the objects of the feed and
 * explains what happens to a packet ({@link io.sluice.rules.Tracer}). The README in this directory describes the rules.
 *
 * <p>The daemon, {@code sluice check} and {@code sluice trace} use the same code. This package may use {@link
 * io.sluice.objects}, {@link io.sluice.document}, {@link io.sluice.text} and {@link io.sluice.model}; it reads no file and opens no socket.
 */
@NullMarked
package io.sluice.rules;

import org.jspecify.annotations.NullMarked;
