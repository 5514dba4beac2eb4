package io.sluice.proxyprotocol;

import io.sluice.model.IpAddress;

/**
 * The addresses in a PROXY header.
 *
 * @param source the client
 * @param destination the address that the client connected to
 */
public record ProxiedAddresses(IpAddress source, int sourcePort, IpAddress destination, int destinationPort) {}
