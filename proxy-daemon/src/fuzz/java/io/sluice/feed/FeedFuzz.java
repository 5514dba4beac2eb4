package io.sluice.feed;

import com.code_intelligence.jazzer.junit.FuzzTest;
import io.sluice.document.Problem;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.FeedLint;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import io.sluice.model.ServiceSnapshot;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.MethodSource;

/** Any file of a feed is read or rejected with messages of one line. When it is removed, no objects or problems remain. */
final class FeedFuzz {
    static Stream<byte[]> seeds() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("src/test/resources/scenarios"))) {
            return files.map(FeedFuzz::bytes).toList().stream();
        }
    }

    private static byte[] bytes(Path file) {
        try {
            String text = Files.readString(file);
            int start = text.indexOf("\n---\n");
            int end = text.indexOf("\n===", Math.max(0, start));
            return (start < 0 ? text : text.substring(start + 1, end < 0 ? text.length() : end))
                    .getBytes(StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @MethodSource("seeds")
    @FuzzTest(maxDuration = "3m")
    void isReadOrRejected(byte[] bytes) throws IOException {
        Manifest manifest;
        try {
            manifest = ManifestReader.read(
                    "f",
                    "",
                    new InputStreamReader(new ByteArrayInputStream(bytes), StandardCharsets.UTF_8.newDecoder()));
        } catch (java.nio.charset.CharacterCodingException e) {
            return;
        }
        ProblemTracker problemTracker = new ProblemTracker();
        ObjectStore store = new ObjectStore(problemTracker);
        SnapshotBuilder builder = new SnapshotBuilder(BuildOptions.on(""), store, problemTracker);
        store.replace("f", new SourceState(manifest.objects(), manifest.problems()));
        ServiceSnapshot snapshot = builder.build();
        problemTracker.put(FeedLint.class, FeedLint.of(store, builder.localNode()));
        problemTracker.publish((problem, appeared) -> oneLine(problem));
        snapshot.forEach(port -> check(port.name().toString().matches("[a-z0-9:./-]+"), port.name()));
        store.replace("f", SourceState.GONE);
        problemTracker.put(FeedLint.class, List.of());
        check(builder.build().size() == 0, "frontends remain");
        check(problemTracker.publish((problem, appeared) -> {}).isEmpty(), "a problem remains");
    }

    private static void oneLine(Problem problem) {
        String text = problem.toString();
        check(text.lines().count() == 1 && text.length() < 4_000 && !problem.message().isBlank(), text);
    }

    private static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
