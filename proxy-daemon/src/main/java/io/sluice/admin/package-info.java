/**
 * The admin API: routes, parameters, errors, and protection against web pages of other origins.
 *
 * <p>{@link io.sluice.admin.AdminRoutes} serves a list of {@link io.sluice.admin.AdminRoute}s on the read-only admin
 * address or on the Unix socket. {@code deploy/docs/admin-api.md} is the contract. This package may use {@link
 * io.sluice.http} and every package that {@link io.sluice.ops} may use.
 */
@NullMarked
package io.sluice.admin;

import org.jspecify.annotations.NullMarked;
