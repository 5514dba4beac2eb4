package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.cli.Main;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

/**
 * Runs the cases of {@code bad-input.txt}: an invalid input, and every line that Sluice prints about it.
 *
 * <p>A case begins with {@code === FILE: title}. {@code sluice.yaml} is a configuration, checked with
 * {@code run --print-config}. A file of any other name is the only file of a feed, checked with {@code check}. Lines
 * that begin with {@code =>} are the expected output, without the header and the summary of the table; {@code => ok}
 * means that the configuration is valid. In the input, {@code «hex 00 FF»} stands for these bytes, and
 * {@code «1000 text»} for 1,000 repetitions of the text.
 */
@Tag("end-to-end")
final class BadInputTest {
    private static final Path CATALOGUE = Path.of("src/test/resources/bad-input.txt");
    private static final Pattern MACRO = Pattern.compile("«(hex|\\d+) ([^»]*)»");

    private record Case(String file, String title, String input, List<String> lines) {
        @Override
        public String toString() {
            return file + ": " + title;
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        String[] sections = Files.readString(CATALOGUE).split("(?m)^=== ");
        for (int i = 1; i < sections.length; i++) {
            List<String> lines = sections[i].lines().toList();
            String[] head = lines.get(0).split(": ", 2);
            List<String> body = lines.subList(1, lines.size());
            String input = body.stream()
                    .filter(line -> !line.startsWith("=> "))
                    .reduce("", (text, line) -> text + line + "\n");
            List<String> expected = body.stream()
                    .filter(line -> line.startsWith("=> "))
                    .map(line -> line.substring(3))
                    .toList();
            cases.add(new Case(head[0], head[1], input, expected));
        }
        return cases;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void reportsExactlyTheListedLines(Case testCase, @TempDir Path directory) throws IOException {
        Path feed = Files.createDirectory(directory.resolve("feed"));
        Path file = Files.write(feed.resolve(testCase.file()), bytes(testCase.input()));
        StringWriter output = new StringWriter();
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(output)).setErr(new PrintWriter(output));
        List<String> lines;
        if (testCase.file().equals("sluice.yaml")) {
            int code = line.execute("run", "--print-config", "--config=" + file);
            lines = code == 0
                    ? List.of("ok")
                    : output.toString().replace(file + ": ", "").lines().toList();
            assertThat(code).as(output.toString()).isEqualTo(testCase.lines().equals(List.of("ok")) ? 0 : 2);
        } else {
            int code = line.execute("check", "--feed=" + feed);
            List<String> all = output.toString()
                    .lines()
                    .filter(text -> !text.isEmpty() && !text.startsWith("SERVICE "))
                    // Of this machine, not of the input.
                    .filter(text -> !text.contains(feed + ": 'sluice run' cannot listen on "))
                    .toList();
            lines = all.subList(0, all.size() - 1);
            assertThat(code).isEqualTo(lines.stream().anyMatch(text -> text.startsWith("error ")) ? 1 : 0);
        }
        assertThat(lines).containsExactlyElementsOf(testCase.lines());
    }

    private static byte[] bytes(String input) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Matcher macro = MACRO.matcher(input);
        int done = 0;
        while (macro.find()) {
            bytes.writeBytes(input.substring(done, macro.start()).getBytes(StandardCharsets.UTF_8));
            bytes.writeBytes(
                    macro.group(1).equals("hex")
                            ? HexFormat.of().parseHex(macro.group(2).replace(" ", ""))
                            : macro.group(2)
                                    .repeat(Integer.parseInt(macro.group(1)))
                                    .getBytes(StandardCharsets.UTF_8));
            done = macro.end();
        }
        bytes.writeBytes(input.substring(done).getBytes(StandardCharsets.UTF_8));
        return bytes.toByteArray();
    }
}
