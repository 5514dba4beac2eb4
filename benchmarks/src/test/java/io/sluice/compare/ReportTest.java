package io.sluice.compare;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.compare.Results.Run;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.xml.sax.InputSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Tests the Markdown, JSON and charts of a run in which Sluice was twice as fast as HAProxy. */
class ReportTest {
    @TempDir
    private Path out;

    private final Results results = new Results();

    @BeforeEach
    void write() throws Exception {
        results.runs.add(ResultsTest.run(1, Contestant.HAPROXY, 6));
        results.runs.add(ResultsTest.run(1, Contestant.BIND, 12));
        results.runs.add(ResultsTest.run(2, Contestant.BIND, 8));
        results.runs.add(ResultsTest.run(2, Contestant.HAPROXY, 4));
        results.runs.add(ResultsTest.run(3, Contestant.HAPROXY, 1, false));
        List<Figure> calls = List.of(
                Figure.less("syscalls/connection", "calls", 18.4),
                Figure.less("syscalls/connection recvfrom", "calls", 3.94));
        results.runs.add(new Run(Workload.SYSCALLS, 1, Contestant.BIND, calls, 0, true, ""));
        List<Figure> notes = List.of(Figure.note("udp-flows lost", "datagrams", 3));
        results.runs.add(new Run(Workload.UDP_FLOWS, 1, Contestant.BIND, notes, 0, true, ""));
        new Report(results, out, Map.of("kernel", "6.18"), 3, 1.5).write();
    }

    @Test
    void writesMarkdown() throws Exception {
        assertThat(Files.readString(out.resolve("compare.md")))
                .contains("3 rounds of 1.50 s")
                .contains("| |haproxy|sluice-bind|\n|---|---|---|")
                .contains("| bulk-1, Gbit/s | **5** (4–6) | **10** (8–12) |")
                .contains("| udp-flows lost, datagrams | – | 3 |")
                .contains("## sluice-bind, ratio to each peer\n\n| |which is better|haproxy|")
                .contains("| bulk-1 | more | **2** (2–2) |")
                .doesNotContain("| udp-flows lost | ")
                .contains("## System calls per operation\n\n")
                .contains("| syscalls/connection recvfrom, calls | – | 3.94 |")
                .contains("- bulk-1, round 3, haproxy: 9 SYNs retransmitted\n")
                .contains("- kernel: 6.18\n");
    }

    @Test
    void json() throws Exception {
        JsonNode json = JsonMapper.shared().readTree(Files.readString(out.resolve("compare.json")));
        assertThat(json.at("/runs").size()).isEqualTo(7);
        assertThat(json.at("/machine/kernel").asString()).isEqualTo("6.18");
        JsonNode haproxy = json.at("/summaries/0");
        assertThat(haproxy.at("/contestant").asString()).isEqualTo("haproxy");
        assertThat(haproxy.at("/summary/count").asInt()).isEqualTo(2);
        assertThat(json.at("/summaries/1/ratios/haproxy/median").asDouble()).isEqualTo(2);
    }

    @Test
    void drawsChartsOfComparedFiguresOnly() throws Exception {
        try (var files = Files.list(out)) {
            assertThat(files.map(file -> file.getFileName().toString()).filter(name -> name.endsWith(".svg")))
                    .containsExactlyInAnyOrder("bulk-1.svg", "syscalls-connection.svg");
        }
    }

    @Test
    void drawsBarsForMediansAndLinesFromMinimumToMaximum() throws Exception {
        Document svg = DocumentBuilderFactory.newDefaultInstance()
                .newDocumentBuilder()
                .parse(new InputSource(new StringReader(Files.readString(out.resolve("bulk-1.svg")))));
        int haproxy = attribute(svg, "rect", 1, "width");
        int sluice = attribute(svg, "rect", 2, "width");
        assertThat(sluice).isEqualTo(2 * haproxy);
        int left = attribute(svg, "rect", 2, "x");
        assertThat(attribute(svg, "line", 1, "x1") - left).isEqualTo(sluice * 8 / 10);
        assertThat(attribute(svg, "line", 1, "x2") - left).isEqualTo(sluice * 12 / 10);
        assertThat(svg.getElementsByTagName("text").item(0).getTextContent())
                .isEqualTo("bulk-1, Gbit/s (more is better)");
    }

    @Test
    void showsTheRatioToTheBaselineInTableJsonAndChart() throws Exception {
        results.runs.add(ResultsTest.run(1, Contestant.BASELINE_BIND, 10));
        results.runs.add(ResultsTest.run(2, Contestant.BASELINE_BIND, 10));
        new Report(results, out, Map.of(), 3, 1.5).write();
        assertThat(Files.readString(out.resolve("compare.md")))
                .contains("| |haproxy|baseline-bind|sluice-bind|\n")
                .contains("## sluice-bind, ratio to each peer\n\n| |which is better|haproxy|baseline-bind|")
                .contains("| bulk-1 | more | **2** (2–2) | **1** (0.80–1.20) |")
                .doesNotContain("## baseline-bind, ratio to each peer");
        JsonNode ratio = JsonMapper.shared()
                .readTree(Files.readString(out.resolve("compare.json")))
                .at("/summaries/2/ratios/baseline-bind");
        assertThat(ratio.at("/median").asDouble()).isEqualTo(1);
        assertThat(ratio.at("/min").asDouble()).isEqualTo(0.8);
        assertThat(ratio.at("/max").asDouble()).isEqualTo(1.2);
        assertThat(Files.readString(out.resolve("bulk-1.svg"))).contains(">10, 1 (0.80–1.20) × baseline-bind</text>");
    }

    private static int attribute(Document svg, String element, int index, String name) {
        return Integer.parseInt(((Element) svg.getElementsByTagName(element).item(index)).getAttribute(name));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            0        | 0
            0.0123   | 0.01
            1.004    | 1.00
            9.876    | 9.88
            12.34    | 12.3
            123.4    | 123
            5        | 5
            1234567  | 1,234,567
            """)
    void formatsThreeSignificantDigits(double value, String text) {
        assertThat(Report.number(value)).isEqualTo(text);
    }
}
