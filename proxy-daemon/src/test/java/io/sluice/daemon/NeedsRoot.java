package io.sluice.daemon;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/**
 * Marks a class whose tests create network namespaces. Without root, each test is reported as skipped with the reason;
 * with an assumption in {@code @BeforeAll}, the console would not show them.
 */
@EnabledIfSystemProperty(
        named = "user.name",
        matches = "root",
        disabledReason = "needs root to create network namespaces")
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface NeedsRoot {}
