package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import io.sluice.node.SetElements.Element;
import org.junit.jupiter.api.Test;

final class TcpConnectionTest {
    @Test
    void parsesConnectionsOfBothFamilies() {
        assertThat(TcpConnection.of("""
                        ESTAB      0      0               10.96.0.17:80       192.0.2.1:40001
                        CLOSE-WAIT 1      0      10.96.0.17%eth0:81    10.244.1.10:40002
                        LAST-ACK   0      48417       [fd00:96::17]:80    [2001:db8:2::1]:40005
                        ESTAB      0      0      [::ffff:10.96.0.18]:80  [::ffff:192.0.2.1]:40006
                        """))
                .extracting(TcpConnection::frontend, TcpConnection::removedFrontendElement, TcpConnection::isClosed)
                .containsExactly(
                        tuple("10.96.0.17 . tcp . 80", element("4", "192.0.2.1 . 40001 . 10.96.0.17 . 80"), false),
                        tuple("10.96.0.17 . tcp . 81", element("4", "10.244.1.10 . 40002 . 10.96.0.17 . 81"), false),
                        tuple("fd00:96::17 . tcp . 80", element("6", "2001:db8:2::1 . 40005 . fd00:96::17 . 80"), true),
                        tuple("10.96.0.18 . tcp . 80", element("4", "192.0.2.1 . 40006 . 10.96.0.18 . 80"), false));
    }

    private static Element element(String family, String key) {
        return new Element("removed-frontend" + family, key, "");
    }

    @Test
    void ignoresLinesThatAreNotConnections() {
        assertThat(TcpConnection.of("""
                        Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port
                        ESTAB      0      0
                        ESTAB      0      0               *:80       somewhere:40001

                        """)).isEmpty();
    }
}
