/**
 * Settings from flags, environment variables, {@code SluiceConfiguration} and {@code KubeProxyConfiguration}, with
 * their names, defaults and limits in one table.
 *
 * <p>This package may use {@link io.sluice.document}, {@link io.sluice.text}, {@link io.sluice.model}, {@link
 * io.sluice.socket}, and the packages whose options it creates.
 */
@NullMarked
package io.sluice.config;

import org.jspecify.annotations.NullMarked;
