package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.node.Elements.Element;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Which connections are told one by one when their frontend goes. */
final class LateTest {
    private static final String SOCKETS = """
            ESTAB      0      0               10.96.0.17:80       192.0.2.1:40001
            CLOSE-WAIT 1      0               10.96.0.17:80       10.244.1.10:40002
            ESTAB      0      0               10.96.0.17:81       192.0.2.1:40003
            ESTAB      0      0              10.96.0.170:80       192.0.2.1:40004
            ESTAB      0      0               192.0.2.1:40001    10.96.0.17:80
            ESTAB      0      0           [fd00:96::17]:80    [2001:db8:2::1]:40005
            """;

    @Test
    void onlyThoseOfTheFrontendItself() {
        assertThat(Late.elements(Set.of("10.96.0.17 . tcp . 80", "fd00:96::17 . tcp . 80"), SOCKETS))
                .containsExactly(
                        new Element("late4", "192.0.2.1 . 40001 . 10.96.0.17 . 80", ""),
                        new Element("late4", "10.244.1.10 . 40002 . 10.96.0.17 . 80", ""),
                        new Element("late6", "2001:db8:2::1 . 40005 . fd00:96::17 . 80", ""));
    }

    @Test
    void datagramsHaveNoConnections() {
        assertThat(Late.frontends(List.of(
                        new Element("front4", "10.96.0.17 . udp . 53", ""),
                        new Element("front4", "10.96.0.17 . tcp . 53", ""),
                        new Element("pod4", "10.96.0.18 . tcp . 53", "goto admit"))))
                .containsExactly("10.96.0.17 . tcp . 53");
    }
}
