package io.sluice.model;

/**
 * A frontend address that two service ports claim.
 *
 * @param loser the service port that is not served at the address
 * @param owner the service port that is served at the address
 */
public record AddressConflict(FrontendAddress address, ServicePortName loser, ServicePortName owner) {}
