package io.sluice.socketlb;

import io.sluice.model.Frontend;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;

public final class Eligibility {
    private Eligibility() {}

    public static String obstacle(ServicePort port, Frontend frontend, boolean masqueradeAll) {
        return frontend.kind() == Frontend.Kind.CLUSTER_IP
                        && frontend.address().protocol() == Protocol.TCP
                        && !frontend.node().endpoints().isEmpty()
                ? ""
                : "other";
    }
}
