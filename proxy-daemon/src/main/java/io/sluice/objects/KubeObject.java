package io.sluice.objects;

import org.jspecify.annotations.Nullable;

/** An object of the feed. Contains only the fields that the Service rules use, to save memory. */
public sealed interface KubeObject permits ServiceObject, EndpointsObject, NodeObject, ServiceCidrObject {
    /** The identity of the object. */
    ObjectKey key();

    /** The Service whose ports must be rebuilt when this object changes; null if there is no such Service. */
    @Nullable
    ServiceKey service();
}
