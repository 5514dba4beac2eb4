/**
 * Settings: their names, defaults and limits in one table, from flags, environment, {@code SluiceConfiguration} and
 * {@code KubeProxyConfiguration}.
 *
 * <p>May use {@link io.sluice.document}, and the packages whose options it makes.
 */
@NullMarked
package io.sluice.config;

import org.jspecify.annotations.NullMarked;
