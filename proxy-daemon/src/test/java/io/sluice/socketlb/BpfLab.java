package io.sluice.socketlb;

import static io.sluice.TestShell.sh;

import com.sun.jna.ptr.IntByReference;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * A BPF file system and a cgroup of the test's own. Between {@link #enter} and {@link #close}, this JVM is in the cgroup,
 * so that the programs decide its connections.
 */
public final class BpfLab implements AutoCloseable {
    private final Path bpf;
    private final Path root;
    public final Path cgroup;

    public BpfLab(Path directory) throws IOException {
        bpf = Files.createDirectories(directory.resolve("bpf"));
        root = Files.createDirectories(directory.resolve("cgroup"));
        sh("mount -t bpf bpf " + bpf);
        sh("mount -t cgroup2 cgroup2 " + root);
        cgroup = Files.createDirectory(
                root.resolve("sluice-test-" + ProcessHandle.current().pid()));
    }

    SocketLbOptions options() {
        return new SocketLbOptions(SocketLbOptions.Mode.REQUIRED, cgroup, pins());
    }

    public Path pins() {
        return bpf.resolve("sluice");
    }

    /** The ids of the links that are pinned. */
    public String links() throws IOException {
        if (!Files.exists(pins().resolve("links"))) {
            return "";
        }
        StringBuilder ids = new StringBuilder();
        try (Stream<Path> links = Files.list(pins().resolve("links"))) {
            for (Path link : links.sorted().toList()) {
                ids.append(linkId(link)).append(' ');
            }
        }
        return ids.toString();
    }

    private static int linkId(Path pin) throws IOException {
        int link = BpfException.check("opening " + pin, Libbpf.bpf_obj_get(pin.toString()));
        byte[] info = new byte[64];
        BpfException.check("reading", Libbpf.bpf_obj_get_info_by_fd(link, info, new IntByReference(info.length)));
        Libbpf.Libc.close(link);
        return ByteBuffer.wrap(info).order(ByteOrder.nativeOrder()).getInt(4);
    }

    /** Moves a process to the cgroup, so that the programs decide its connections. */
    public void add(long pid) throws IOException {
        Files.writeString(cgroup.resolve("cgroup.procs"), String.valueOf(pid));
    }

    void enter() throws IOException {
        Files.writeString(cgroup.resolve("cgroup.procs"), "0");
    }

    static FrontendAddress frontend(String address, int port) {
        return new FrontendAddress(Protocol.TCP, Objects.requireNonNull(IpAddress.parse(address)), port);
    }

    static IpAddress loopback(Family family) {
        return Objects.requireNonNull(IpAddress.parse(family == Family.IPV4 ? "127.0.0.1" : "::1"));
    }

    @Override
    public void close() throws IOException {
        for (String pid : Files.readAllLines(cgroup.resolve("cgroup.procs"))) {
            Files.writeString(root.resolve("cgroup.procs"), pid);
        }
        Pins.remove(pins());
        Files.delete(cgroup);
        sh("umount " + bpf);
        sh("umount " + root);
    }
}
