/**
 * Kubernetes' Service rules as pure functions, from stored objects to a {@link io.sluice.model.ServiceSnapshot}, and
 * what happens to one packet ({@link io.sluice.rules.Tracer}).
 *
 * <p>The daemon, {@code sluice check} and {@code sluice trace} use the same functions. May use
 * {@link io.sluice.objects}, {@link io.sluice.document} and {@link io.sluice.model}; reads no file and opens no socket.
 */
@NullMarked
package io.sluice.rules;

import org.jspecify.annotations.NullMarked;
