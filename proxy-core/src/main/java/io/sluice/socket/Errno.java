package io.sluice.socket;

import io.netty.channel.unix.Errors.NativeIoException;
import java.net.NoRouteToHostException;

/**
 * Linux error numbers, with a method that extracts them from exceptions. The numbers are the same on all architectures
 * for which Netty provides native code.
 */
public final class Errno {
    public static final int EPERM = 1;
    static final int EIO = 5;
    public static final int EBADF = 9;
    public static final int EAGAIN = 11;
    public static final int ENOMEM = 12;
    public static final int EACCES = 13;
    public static final int EINVAL = 22;
    public static final int EPIPE = 32;
    public static final int ENFILE = 23;
    public static final int EMFILE = 24;
    public static final int ENOSPC = 28;
    public static final int ENOTSOCK = 88;
    static final int EMSGSIZE = 90;
    public static final int EADDRINUSE = 98;
    public static final int EADDRNOTAVAIL = 99;
    public static final int ENETUNREACH = 101;
    public static final int ECONNRESET = 104;
    public static final int ENOBUFS = 105;
    static final int ETOOMANYREFS = 109;
    public static final int ETIMEDOUT = 110;
    public static final int ECONNREFUSED = 111;
    public static final int EHOSTUNREACH = 113;

    private static final int UNKNOWN = 0;
    private static final String NUMBER_IN_MESSAGE = "error(-";

    private Errno() {}

    /** What an error number of connect(2), send(2) or recv(2) says about the peer, in words. */
    public static String text(int errno) {
        return switch (errno) {
            case ECONNREFUSED -> "connection refused";
            case ETIMEDOUT -> "connect timeout";
            case EHOSTUNREACH -> "no route to host";
            case ENETUNREACH -> "network is unreachable";
            case ECONNRESET -> "connection reset";
            case EACCES, EPERM -> "forbidden by a firewall rule of this node";
            case UNKNOWN -> "unknown error";
            default -> "error " + errno;
        };
    }

    /** The error number carried by an exception from Netty's sockets, or by one of its causes; 0 if there is none. */
    public static int of(Throwable e) {
        if (e instanceof NativeIoException nativeError) {
            return -nativeError.expectedErr();
        }
        if (e instanceof NoRouteToHostException) {
            return EHOSTUNREACH;
        }
        if (e.getCause() != null) {
            return of(e.getCause());
        }
        // Netty converts other errors of connect(2) to a ConnectException, which contains the number only in its
        // message.
        String message = String.valueOf(e.getMessage());
        int at = message.indexOf(NUMBER_IN_MESSAGE);
        int end = message.indexOf(')', at + 1);
        if (at < 0 || end < 0) {
            return UNKNOWN;
        }
        try {
            return Integer.parseInt(message, at + NUMBER_IN_MESSAGE.length(), end, 10);
        } catch (NumberFormatException notANumber) {
            return UNKNOWN;
        }
    }
}
