package io.sluice.socketlb;

import java.io.IOException;

/** A failed BPF operation. The message is one line that names the operation and the cause. */
final class BpfException extends IOException {
    private static final long serialVersionUID = 1;

    private static final int EPERM = 1;
    static final int ENOENT = 2;
    private static final int E2BIG = 7;
    private static final int EACCES = 13;
    static final int EEXIST = 17;
    private static final int EINVAL = 22;
    static final int ENOSPC = 28;

    private final int errno;

    private BpfException(String operation, int errno) {
        super(operation + ": " + text(errno));
        this.errno = errno;
    }

    /** Returns the result of a libbpf function, which is a negative errno after a failure. */
    static int check(String operation, int result) throws BpfException {
        if (result < 0) {
            throw new BpfException(operation, -result);
        }
        return result;
    }

    /** Returns an exception for an errno. */
    static BpfException of(String operation, int errno) {
        return new BpfException(operation, errno);
    }

    /** Whether a map has no room for another entry. */
    boolean isFull() {
        return errno == E2BIG || errno == ENOSPC;
    }

    private static String text(int errno) {
        return switch (errno) {
            case EPERM, EACCES ->
                "not permitted; needs CAP_BPF and CAP_NET_ADMIN, and no program that has the hook for itself";
            case ENOENT -> "not found";
            case E2BIG, ENOSPC -> "full";
            case EEXIST -> "exists already";
            case EINVAL ->
                "rejected by the kernel, which may be too old (5.15 or newer is needed), or there are pins of another version";
            default -> "error " + errno;
        };
    }
}
