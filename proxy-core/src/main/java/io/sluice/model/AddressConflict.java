package io.sluice.model;

/** An address that two service ports want: who goes without it, and who has it. */
public record AddressConflict(FrontendAddress address, ServicePortName loser, ServicePortName owner) {}
