package io.sluice.model;

/** The origin of a client, derived from its source address. Traffic policies may route each origin differently. */
public enum Origin {
    /** A pod of the cluster. */
    POD,
    /** A process on this node. */
    NODE,
    /** Any other client. */
    EXTERNAL
}
