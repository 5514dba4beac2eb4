package io.sluice.ops;

import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;
import org.jspecify.annotations.Nullable;

/**
 * An endpoint, or a service port, that started or stopped failing; for a Kubernetes Event.
 *
 * @param endpoint null if the whole service port has started or stopped failing
 * @param failing whether it started to fail
 * @param message what happened, without the name of the Service
 */
public record EndpointReport(
        ServicePortName service, @Nullable Endpoint endpoint, boolean failing, String message) {}
