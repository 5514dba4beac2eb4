package io.sluice.forward;

/** The flags of epoll_ctl(2) that {@link Leg}s use, as numbers, because comparing Netty's objects would allocate. */
final class EpollFlags {
    static final int IN = 0x1;
    static final int PRI = 0x2;
    static final int OUT = 0x4;
    static final int ERR = 0x8;
    static final int HUP = 0x10;
    static final int RDHUP = 0x2000;

    private EpollFlags() {}
}
