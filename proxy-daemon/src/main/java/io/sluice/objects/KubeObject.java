package io.sluice.objects;

import org.jspecify.annotations.Nullable;

/** One object of the feed, reduced to what the rules read, so that a whole cluster fits into memory. */
public sealed interface KubeObject permits ServiceObject, EndpointsObject, NodeObject, ServiceCidrObject {
    ObjectKey key();

    /** The Service whose ports have to be built anew when this object changes; null if it is none in particular. */
    @Nullable
    ServiceKey service();
}
