package io.sluice.compare;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** Collects facts about the machine and the versions of the programs. */
final class MachineInfo {
    private MachineInfo() {}

    static Map<String, String> collect(CommandRunner commands) throws IOException, InterruptedException {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("processors", String.valueOf(Runtime.getRuntime().availableProcessors()));
        facts.put(
                "processor",
                Files.readAllLines(Path.of("/proc/cpuinfo")).stream()
                        .filter(line -> line.startsWith("model name"))
                        .map(line -> line.replaceAll(".*:\\s*", ""))
                        .findFirst()
                        .orElse("unknown"));
        facts.put(
                "kernel",
                Files.readString(Path.of("/proc/sys/kernel/osrelease")).trim());
        facts.put("Java of Sluice", Runtime.version().toString());
        String options = System.getenv("JDK_JAVA_OPTIONS");
        facts.put("JDK_JAVA_OPTIONS", options == null ? "not set" : options);
        facts.put("HAProxy", firstLine(commands, "haproxy -v"));
        facts.put("nginx", firstLine(commands, "nginx -v"));
        facts.put("nft", firstLine(commands, "nft -v"));
        facts.put("iperf3", firstLine(commands, "iperf3 -v"));
        facts.put("sockperf", firstLine(commands, "sockperf --version"));
        facts.put(
                "load average at the start",
                Files.readString(Path.of("/proc/loadavg")).trim());
        return facts;
    }

    private static String firstLine(CommandRunner commands, String command) throws IOException, InterruptedException {
        return commands.run(List.of(command.split(" ")))
                .lines()
                .filter(Pattern.compile("\\d").asPredicate())
                .findFirst()
                .orElse("unknown");
    }
}
