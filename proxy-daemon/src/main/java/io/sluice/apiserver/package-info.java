/**
 * The Kubernetes API server as a source of objects: list and watch, credentials, server failover, and Events.
 *
 * <p>Implemented here because no Java client reloads CAs and client certificates, abandons silent watches, and parses
 * lists as a stream. May use {@link io.sluice.feed} and its dependencies, and the JDK's HTTP client.
 */
@NullMarked
package io.sluice.apiserver;

import org.jspecify.annotations.NullMarked;
