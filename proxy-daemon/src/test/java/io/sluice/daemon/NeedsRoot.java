package io.sluice.daemon;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/**
 * A class whose tests work in network namespaces of their own. Without root each of them is reported as skipped, with
 * the reason; an assumption in {@code @BeforeAll} would leave no trace of them on the console.
 */
@EnabledIfSystemProperty(named = "user.name", matches = "root", disabledReason = "needs root, for network namespaces")
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
@interface NeedsRoot {}
