package io.sluice.socketlb;

import com.sun.jna.Native;
import com.sun.jna.ptr.IntByReference;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What the kernel counts of the programs and maps of this process. Programs are counted between creation and close. */
final class BpfStatistics implements AutoCloseable {
    private static final Path ENABLED = Path.of("/proc/sys/kernel/bpf_stats_enabled");
    private static final Pattern MEMORY = Pattern.compile("memlock:\\s+(\\d+)");

    /** Offsets in {@code struct bpf_link_info}, {@code struct bpf_prog_info} and {@code struct bpf_map_info}. */
    private static final int LINK_PROGRAM = 8;

    private static final int PROGRAM_NANOS = 192;
    private static final int PROGRAM_RUNS = 200;
    private static final int MAP_NAME = 24;
    private static final int NAME_SIZE = 16;
    private static final int INFO = 256;

    static {
        Native.register(BpfStatistics.class, "libbpf.so.1");
    }

    private final Path pins;
    private final String enabledBefore;

    /** The runs of a program and their time. */
    record Runs(long count, long nanos) {
        Runs minus(Runs before) {
            return new Runs(count - before.count, nanos - before.nanos);
        }
    }

    BpfStatistics(Path pins) throws IOException {
        this.pins = pins;
        enabledBefore = Files.readString(ENABLED);
        Files.writeString(ENABLED, "1");
    }

    @SuppressWarnings("MemberName") // the name of the C function
    private static native int bpf_prog_get_fd_by_id(int id);

    /** The runs so far of each program that is attached, by the name of its hook. */
    Map<String, Runs> programs() throws IOException {
        Map<String, Runs> programs = new TreeMap<>();
        try (Stream<Path> links = Files.list(Pins.links(pins))) {
            for (Path link : links.toList()) {
                int descriptor = BpfException.check("opening " + link, Libbpf.bpf_obj_get(link.toString()));
                int id = info(descriptor).getInt(LINK_PROGRAM);
                Libbpf.Libc.close(descriptor);
                descriptor = BpfException.check("opening program " + id, bpf_prog_get_fd_by_id(id));
                ByteBuffer info = info(descriptor);
                Libbpf.Libc.close(descriptor);
                programs.put(
                        link.getFileName().toString(),
                        new Runs(info.getLong(PROGRAM_RUNS), info.getLong(PROGRAM_NANOS)));
            }
        }
        return programs;
    }

    private static ByteBuffer info(int descriptor) throws IOException {
        byte[] info = new byte[INFO];
        BpfException.check("reading", Libbpf.bpf_obj_get_info_by_fd(descriptor, info, new IntByReference(info.length)));
        return ByteBuffer.wrap(info).order(ByteOrder.nativeOrder());
    }

    /** The memory in bytes of each map that this process has open. */
    static Map<String, Long> mapMemory() throws IOException {
        Map<String, Long> memory = new TreeMap<>();
        try (Stream<Path> descriptors = Files.list(Path.of("/proc/self/fd"))) {
            for (Path descriptor : descriptors.toList()) {
                if (Files.isSymbolicLink(descriptor)
                        && Files.readSymbolicLink(descriptor).toString().equals("anon_inode:bpf-map")) {
                    String number = descriptor.getFileName().toString();
                    byte[] name = new byte[NAME_SIZE];
                    info(Integer.parseInt(number)).get(MAP_NAME, name);
                    Matcher bytes = MEMORY.matcher(Files.readString(Path.of("/proc/self/fdinfo", number)));
                    if (bytes.find()) {
                        memory.put(new String(name, StandardCharsets.US_ASCII).trim(), Long.parseLong(bytes.group(1)));
                    }
                }
            }
        }
        return memory;
    }

    @Override
    public void close() throws IOException {
        Files.writeString(ENABLED, enabledBefore);
    }
}
