package io.sluice;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** Who may know whom. Nothing points back: reflector to snapshot to sockets, and never the other way. */
final class PackageEdgesTest {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("io.sluice");

    private static void mayUse(String of, String... others) {
        List<String> allowed = new ArrayList<>(List.of(of, "java..", "org.jspecify.annotations.."));
        allowed.addAll(Arrays.asList(others));
        classes()
                .that()
                .resideInAPackage(of)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage(allowed.toArray(String[]::new))
                .check(CLASSES);
    }

    @Test
    void everyPackageIsLookedAt() {
        assertThat(CLASSES.stream().map(c -> c.getPackageName()).distinct())
                .containsExactlyInAnyOrder(
                        "io.sluice.model",
                        "io.sluice.stats",
                        "io.sluice.thread",
                        "io.sluice.forward",
                        "io.sluice.kube",
                        "io.sluice.node",
                        "io.sluice.ops",
                        "io.sluice.daemon");
    }

    @Test
    void modelUsesTheJdkOnly() {
        mayUse("io.sluice.model");
    }

    @Test
    void statsKnowTheModelAndHdrHistogram() {
        mayUse("io.sluice.stats", "io.sluice.model", "org.HdrHistogram..");
    }

    @Test
    void threadsUseNettyAndTheJdkOnly() {
        mayUse("io.sluice.thread", "io.netty..", "org.slf4j..");
    }

    @Test
    void forwarderKnowsNoKubernetesAndNoFiles() {
        mayUse(
                "io.sluice.forward",
                "io.sluice.model",
                "io.sluice.stats",
                "io.sluice.thread",
                "io.netty..",
                "com.github.benmanes.caffeine..",
                "com.sun.management..",
                "org.HdrHistogram..",
                "org.slf4j..");
    }

    @Test
    void nodeKnowsTheModelOnly() {
        mayUse(
                "io.sluice.node",
                "io.sluice.model",
                "io.sluice.thread",
                // For what nft and ip print: their display text depends on configuration files of iproute2.
                "tools.jackson..",
                "org.slf4j..");
    }

    @Test
    void kubeKnowsNoSocketsAndNoCounters() {
        mayUse(
                "io.sluice.kube",
                "io.sluice.model",
                "io.sluice.thread",
                // For the API server only, through the JDK's HTTP client.
                "javax.net.ssl..",
                "tools.jackson..",
                "com.fasterxml.jackson.annotation..",
                // The parser behind Jackson's YAML: its size limit is set through it.
                "org.snakeyaml.engine..",
                "org.slf4j..");
    }

    /** One that is started elsewhere could die without anything being restarted or reported. */
    @Test
    void everyThreadIsSupervised() {
        noClasses()
                .that()
                .resideOutsideOfPackage("io.sluice.thread")
                // Not part of the daemon: a program of its own around it.
                .and()
                .haveSimpleNameNotStartingWith("Demo")
                .should(startThreads())
                .check(CLASSES);
    }

    private static ArchCondition<JavaClass> startThreads() {
        List<String> owners = List.of(
                "java.lang.Thread$Builder",
                "java.util.Timer",
                "java.util.concurrent.Executors",
                "java.util.concurrent.ForkJoinPool",
                "java.util.concurrent.ThreadPoolExecutor",
                "java.util.concurrent.ScheduledThreadPoolExecutor",
                "io.netty.channel.MultiThreadIoEventLoopGroup",
                "io.netty.util.concurrent.DefaultThreadFactory",
                "io.netty.util.concurrent.GlobalEventExecutor");
        return new ArchCondition<>("start threads") {
            @Override
            public void check(JavaClass from, ConditionEvents events) {
                for (JavaAccess<?> access : from.getAccessesFromSelf()) {
                    String owner = access.getTargetOwner().getName();
                    String name = access.getTarget().getName();
                    boolean starts = owners.contains(owner)
                            || (access.getTargetOwner().isAssignableTo(Thread.class)
                                    && (name.equals("<init>")
                                            || name.equals("ofVirtual")
                                            || name.equals("startVirtualThread")))
                            || (owner.equals(CompletableFuture.class.getName()) && name.endsWith("Async"));
                    if (starts) {
                        events.add(SimpleConditionEvent.satisfied(from, access.getDescription()));
                    }
                }
            }
        };
    }

    @Test
    void opsKnowsTheModelAndNetty() {
        mayUse("io.sluice.ops", "io.sluice.model", "io.sluice.thread", "io.netty..", "tools.jackson..", "org.slf4j..");
    }

    @Test
    void noCycles() {
        slices().matching("io.sluice.(*)..").should().beFreeOfCycles().check(CLASSES);
    }
}
