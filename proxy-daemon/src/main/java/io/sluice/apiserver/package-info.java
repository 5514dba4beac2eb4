/**
 * The Kubernetes API server as a feed: list and watch, credentials, fail-over between servers, and Events.
 *
 * <p>Written by hand because no Java client reloads CAs and client certificates, leaves silent watches, and parses lists
 * as they arrive. May use {@link io.sluice.feed} and what that may use, and the JDK's HTTP client.
 */
@NullMarked
package io.sluice.apiserver;

import org.jspecify.annotations.NullMarked;
