package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Compares the table in the Javadoc of {@link Direction} with the code, which asserts it at every transition. */
final class DirectionTest {
    private static final Pattern ROW = Pattern.compile("<tr><td>([A-Z]+), ([A-Z]+)</td>");

    private static Set<Set<DirectionState>> table() throws IOException {
        String source = Files.readString(Path.of("src/main/java/io/sluice/forward/DirectionState.java"));
        return ROW.matcher(source)
                .results()
                .map(row -> Set.copyOf(
                        List.of(DirectionState.valueOf(row.group(1)), DirectionState.valueOf(row.group(2))).stream()
                                .distinct()
                                .toList()))
                .collect(Collectors.toSet());
    }

    @Test
    void onlyTheCombinationsInTheTableAreLegal() throws IOException {
        Set<Set<DirectionState>> table = table();
        assertThat(table).hasSize(6);
        Set<DirectionState> seen = new TreeSet<>();
        for (DirectionState first : DirectionState.values()) {
            for (DirectionState second : DirectionState.values()) {
                Set<DirectionState> pair = new HashSet<>(List.of(first, second));
                assertThat(first.isLegalWith(second))
                        .as("%s with %s", first, second)
                        .isEqualTo(table.contains(pair));
                if (table.contains(pair)) {
                    seen.add(first);
                }
            }
        }
        assertThat(seen).containsExactly(DirectionState.values());
    }
}
