package io.sluice.socketlb;

import com.sun.jna.Callback;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import org.jspecify.annotations.Nullable;

/**
 * The functions of libbpf 1.0 and newer, and two of libc. A function that returns an int returns a negative errno after a
 * failure, unless stated otherwise.
 */
@SuppressWarnings("MemberName") // the names of the C functions
final class Libbpf {
    /** File name of the library; its number changes with incompatible versions. */
    private static final String LIBRARY = "libbpf.so.1";

    private static final @Nullable String PROBLEM = load();

    private Libbpf() {}

    private static @Nullable String load() {
        // By default JNA unpacks its own library to the home directory, which a container may not be allowed to write.
        if (System.getProperty("jna.tmpdir") == null) {
            System.setProperty("jna.tmpdir", System.getProperty("java.io.tmpdir"));
        }
        try {
            Native.register(Libbpf.class, LIBRARY);
            Native.register(Libc.class, "c");
            // By default libbpf prints warnings to stderr.
            libbpf_set_print(null);
            return null;
        } catch (UnsatisfiedLinkError e) {
            return LIBRARY + " cannot be loaded; install libbpf 1.0 or newer (Debian: libbpf1): "
                    + String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        }
    }

    /** Why the functions cannot be called; null if they can. */
    static @Nullable String problem() {
        return PROBLEM;
    }

    static native @Nullable Pointer libbpf_set_print(@Nullable Callback print);

    static native int libbpf_num_possible_cpus();

    /** Returns null after a failure, with the errno in {@link Native#getLastError}. */
    static native @Nullable Pointer bpf_object__open_mem(byte[] file, long size, @Nullable Pointer options);

    static native int bpf_object__load(Pointer object);

    static native void bpf_object__close(Pointer object);

    static native @Nullable Pointer bpf_object__find_map_by_name(Pointer object, String name);

    static native @Nullable Pointer bpf_object__find_program_by_name(Pointer object, String name);

    static native int bpf_map__set_pin_path(Pointer map, String path);

    static native int bpf_map__set_max_entries(Pointer map, int max);

    static native int bpf_map__fd(Pointer map);

    static native int bpf_map__key_size(Pointer map);

    static native int bpf_map__value_size(Pointer map);

    static native int bpf_program__fd(Pointer program);

    static native int bpf_link_create(int program, int target, int attachType, @Nullable Pointer options);

    static native int bpf_link_update(int link, int newProgram, @Nullable Pointer options);

    static native int bpf_link_detach(int link);

    static native int bpf_obj_pin(int descriptor, String path);

    static native int bpf_obj_get(String path);

    static native int bpf_obj_get_info_by_fd(int descriptor, byte[] info, IntByReference length);

    static native int bpf_map_lookup_elem(int map, byte[] key, byte[] value);

    static native int bpf_map_update_elem(int map, byte[] key, byte[] value, long flags);

    static native int bpf_map_delete_elem(int map, byte[] key);

    static native int bpf_map_update_batch(
            int map, byte[] keys, byte[] values, IntByReference count, @Nullable Pointer options);

    static native int bpf_map_delete_batch(int map, byte[] keys, IntByReference count, @Nullable Pointer options);

    static native int bpf_map_lookup_batch(
            int map,
            byte @Nullable [] in,
            byte[] out,
            byte[] keys,
            byte[] values,
            IntByReference count,
            @Nullable Pointer options);

    /** Returns null after a failure, with the errno in {@link Native#getLastError}. */
    static native @Nullable Pointer ring_buffer__new(
            int map, SampleCallback callback, @Nullable Pointer context, @Nullable Pointer options);

    static native int ring_buffer__poll(Pointer ringBuffer, int timeoutMillis);

    static native void ring_buffer__free(Pointer ringBuffer);

    /** Receives the samples of a ring buffer. Must not throw. */
    interface SampleCallback extends Callback {
        int sample(@Nullable Pointer context, Pointer data, long size);
    }

    /** Functions of libc. */
    static final class Libc {
        private Libc() {}

        /** Returns -1 after a failure, with the errno in {@link Native#getLastError}. */
        static native int open(String path, int flags);

        static native int close(int descriptor);
    }
}
