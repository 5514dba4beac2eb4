package io.sluice;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

final class ThreadGuardExtensionTest {
    @Test
    void anExceptionThatEndsAThreadIsReportedOnce() throws InterruptedException {
        Thread thread = new Thread(() -> {
            throw new IllegalStateException("on purpose");
        });
        thread.start();
        thread.join();
        assertThatThrownBy(ThreadGuardExtension::check).hasRootCauseMessage("on purpose");
        assertThatCode(ThreadGuardExtension::check).doesNotThrowAnyException();
    }

    @Test
    void aFailedAssertionThatWasLoggedIsReported() {
        LoggerFactory.getLogger(ThreadGuardExtensionTest.class).error("restarted", new AssertionError("on purpose"));
        assertThatThrownBy(ThreadGuardExtension::check).hasRootCauseMessage("on purpose");
    }
}
