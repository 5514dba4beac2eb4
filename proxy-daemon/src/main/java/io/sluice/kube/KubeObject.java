package io.sluice.kube;

/** One object of the feed, reduced to what the rules read, so that a whole cluster fits into memory. */
sealed interface KubeObject permits ServiceObject, EndpointsObject {
    ObjectKey key();

    /** The Service whose ports have to be built anew when this object changes. */
    ServiceKey service();
}
