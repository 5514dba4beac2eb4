package io.sluice.model;

/** Where a packet comes from, told by its source address; a traffic policy may answer each differently. */
public enum Origin {
    POD,
    NODE,
    EXTERNAL
}
