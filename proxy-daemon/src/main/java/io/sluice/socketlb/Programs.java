package io.sluice.socketlb;

import static io.sluice.socketlb.BpfException.check;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/**
 * The BPF programs and maps of this process. Maps and links are pinned in a BPF file system, so that they outlive the
 * process: a later process uses the same maps and replaces the program of each link in place. Not thread-safe.
 */
final class Programs implements AutoCloseable {
    /** Must change with the structs and maps of the programs: a process uses only maps of its own layout. */
    private static final int LAYOUT = 1;

    private static final String OBJECT = "socketlb.bpf.o";

    /** The maps that are shared with a later process. */
    private static final String[] PINNED_MAPS = {
        "frontends",
        "endpoints",
        "cursors",
        "members",
        "affinity",
        "traffic",
        "connections",
        "failing",
        "events",
        "sockets"
    };

    private static final int OPEN_DIRECTORY = 0x10000;
    private static final int OPEN_CLOSE_ON_EXEC = 0x80000;

    /** Offsets in {@code struct bpf_link_info}. */
    private static final int LINK_INFO_CGROUP = 16;

    private static final int LINK_INFO = 64;

    /** A place in the kernel where a program runs, with its number in {@code enum bpf_attach_type}. */
    private enum Hook {
        SOCKOPS("sockops", 3),
        GETPEERNAME4("getpeername4", 29),
        GETPEERNAME6("getpeername6", 30),
        // Last, so that the other programs see all connections that these redirect.
        CONNECT4("connect4", 10),
        CONNECT6("connect6", 11);

        private final String hookName;
        private final int attachType;

        Hook(String hookName, int attachType) {
            this.hookName = hookName;
            this.attachType = attachType;
        }
    }

    private final Pointer object;
    private final Path pins;
    private final Cgroup cgroup;

    private Programs(Pointer object, Path pins, Cgroup cgroup) {
        this.object = object;
        this.pins = pins;
        this.cgroup = cgroup;
    }

    /**
     * Loads the programs without attaching them. Uses the pinned maps of an earlier process, if there are any.
     *
     * @param maxEndpoints maximum number of entries in the map of endpoints; 0 for the default
     * @throws IOException if this machine does not meet a requirement; the message is one line for users
     */
    static Programs load(SocketLbOptions options, int maxEndpoints) throws IOException {
        if (Libbpf.problem() != null) {
            throw new IOException(Libbpf.problem());
        }
        Cgroup cgroup = Cgroup.find(options.cgroup());
        requireBpfFileSystem(options.pins());
        byte[] file;
        try (InputStream in = Programs.class.getResourceAsStream(OBJECT)) {
            file = Objects.requireNonNull(in).readAllBytes();
        }
        Pointer object = Libbpf.bpf_object__open_mem(file, file.length, null);
        if (object == null) {
            throw BpfException.of("opening the BPF programs", Native.getLastError());
        }
        Programs programs = new Programs(object, options.pins(), cgroup);
        try {
            Path maps = Files.createDirectories(Pins.maps(options.pins(), LAYOUT));
            if (maxEndpoints > 0) {
                Libbpf.bpf_map__set_max_entries(programs.find("endpoints"), maxEndpoints);
            }
            for (String name : PINNED_MAPS) {
                Path path = maps.resolve(name);
                check("naming map " + name, Libbpf.bpf_map__set_pin_path(programs.find(name), path.toString()));
            }
            check("loading the BPF programs", Libbpf.bpf_object__load(object));
            programs.requireAttachable();
            return programs;
        } catch (IOException | RuntimeException | Error e) {
            programs.close();
            throw e;
        }
    }

    private static void requireBpfFileSystem(Path pins) throws IOException {
        Path existing = pins;
        while (!Files.exists(existing) && existing.getParent() != null) {
            existing = existing.getParent();
        }
        if (!Files.getFileStore(existing).type().equals("bpf")) {
            throw new IOException("'" + pins + "' is not in a BPF file system; mount one with 'mount -t bpf bpf "
                    + Objects.requireNonNullElse(pins.getParent(), pins) + "'");
        }
    }

    private Pointer find(String map) {
        return Objects.requireNonNull(Libbpf.bpf_object__find_map_by_name(object, map), map);
    }

    /** Attaches each program for a moment. They use the maps of the process that serves, if there is one. */
    private void requireAttachable() throws IOException {
        for (Hook hook : Hook.values()) {
            Libbpf.Libc.close(create(hook));
        }
    }

    private int program(Hook hook) {
        return Libbpf.bpf_program__fd(Objects.requireNonNull(
                Libbpf.bpf_object__find_program_by_name(object, "sluice_" + hook.hookName), hook.hookName));
    }

    private int create(Hook hook) throws IOException {
        int directory = Libbpf.Libc.open(cgroup.directory().toString(), OPEN_DIRECTORY | OPEN_CLOSE_ON_EXEC);
        if (directory < 0) {
            throw BpfException.of("opening '" + cgroup.directory() + "'", Native.getLastError());
        }
        try {
            return check(
                    "attaching " + hook.hookName + " to '" + cgroup.directory() + "'",
                    Libbpf.bpf_link_create(program(hook), directory, hook.attachType, null));
        } finally {
            Libbpf.Libc.close(directory);
        }
    }

    /**
     * Attaches the programs: replaces those of an earlier process in place, so that no connection is missed. Removes the
     * maps of other layouts, which no program uses then.
     */
    void attach() throws IOException {
        pinMaps();
        Files.createDirectories(Pins.links(pins));
        for (Hook hook : Hook.values()) {
            Path pin = Pins.links(pins).resolve(hook.hookName);
            if (!isReplaced(hook, pin)) {
                int link = create(hook);
                try {
                    check("pinning " + hook.hookName, Libbpf.bpf_obj_pin(link, pin.toString()));
                } finally {
                    Libbpf.Libc.close(link);
                }
            }
        }
        Pins.removeOtherMaps(pins, LAYOUT);
    }

    /** Pins maps again that the earlier process has removed at its end, after this process had opened them. */
    private void pinMaps() throws IOException {
        Path maps = Files.createDirectories(Pins.maps(pins, LAYOUT));
        for (String name : PINNED_MAPS) {
            Path path = maps.resolve(name);
            if (!Files.exists(path)) {
                check("pinning map " + name, Libbpf.bpf_obj_pin(descriptor(name), path.toString()));
            }
        }
    }

    private boolean isReplaced(Hook hook, Path pin) throws IOException {
        int link = Libbpf.bpf_obj_get(pin.toString());
        if (link == -BpfException.ENOENT) {
            return false;
        }
        check("opening '" + pin + "'", link);
        try {
            if (cgroupOf(link) == cgroup.id()) {
                check("replacing " + hook.hookName, Libbpf.bpf_link_update(link, program(hook), null));
                return true;
            }
        } finally {
            Libbpf.Libc.close(link);
        }
        // Attached to another cgroup, or to one that no longer exists.
        Files.delete(pin);
        return false;
    }

    private static long cgroupOf(int link) throws BpfException {
        byte[] info = new byte[LINK_INFO];
        check("reading a BPF link", Libbpf.bpf_obj_get_info_by_fd(link, info, new IntByReference(info.length)));
        return ByteBuffer.wrap(info).order(ByteOrder.nativeOrder()).getLong(LINK_INFO_CGROUP);
    }

    /** The map with this name. */
    KernelMap map(String name) {
        Pointer map = find(name);
        int valueSize = Libbpf.bpf_map__value_size(map);
        return new KernelMap(
                name,
                Libbpf.bpf_map__fd(map),
                Libbpf.bpf_map__key_size(map),
                name.equals("traffic") ? valueSize * Libbpf.libbpf_num_possible_cpus() : valueSize);
    }

    /** The file descriptor of a map; valid until {@link #close}. */
    int descriptor(String map) {
        return Libbpf.bpf_map__fd(find(map));
    }

    /** Detaches the programs and removes the maps, so that nothing is left in the kernel after {@link #close}. */
    void detach() throws IOException {
        List<Hook> connectFirst = new ArrayList<>(List.of(Hook.values()));
        Collections.reverse(connectFirst);
        for (Hook hook : connectFirst) {
            int link =
                    Libbpf.bpf_obj_get(Pins.links(pins).resolve(hook.hookName).toString());
            if (link >= 0) {
                // After a removal of the pin alone, the kernel would detach the program some time later.
                Libbpf.bpf_link_detach(link);
                Libbpf.Libc.close(link);
            }
        }
        Pins.remove(pins);
    }

    /** Closes this process's descriptors; what is pinned remains. */
    @Override
    public void close() {
        Libbpf.bpf_object__close(object);
    }
}
