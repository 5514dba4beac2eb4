package io.sluice.example;

import io.sluice.forward.Forwarder;
import io.sluice.forward.ForwarderCallbacks;
import io.sluice.forward.ForwarderConfig;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;

/** Forwards connections to two endpoints in turn, until Enter is pressed. */
final class EmbeddedProxy {
    private EmbeddedProxy() {}

    static Forwarder start(String frontend, String... endpoints) {
        ServicePort web = ServicePort.of(
                "shop",
                "web",
                FrontendAddress.of(frontend),
                Arrays.stream(endpoints).map(Endpoint::of).toList());
        Forwarder forwarder = new Forwarder(ForwarderConfig.defaults(), ForwarderCallbacks.of(System.out::println));
        forwarder.apply(ServiceSnapshot.of(web));
        return forwarder;
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        try (Forwarder forwarder = start("127.0.0.1:8080/tcp", "127.0.0.1:8001", "127.0.0.1:8002")) {
            System.in.read();
            forwarder.stopAccepting();
            forwarder.drain(Duration.ofSeconds(30));
        }
    }
}
