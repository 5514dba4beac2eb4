package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;

/** A change of the state of an endpoint's health; the two states are never equal. */
public record EndpointChange(ServicePortName service, Endpoint endpoint, EndpointHealth before, EndpointHealth after) {}
