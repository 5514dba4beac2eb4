package io.sluice.compare;

/** One measured value. */
record Figure(String name, String unit, Better better, double value) {
    enum Better {
        MORE,
        LESS,
        /** The value describes the run and is not compared. */
        NEITHER
    }

    static Figure more(String name, String unit, double value) {
        return new Figure(name, unit, Better.MORE, value);
    }

    static Figure less(String name, String unit, double value) {
        return new Figure(name, unit, Better.LESS, value);
    }

    static Figure note(String name, String unit, double value) {
        return new Figure(name, unit, Better.NEITHER, value);
    }

    /** Whether this is the count of one system call; these have a table of their own. */
    boolean isSystemCall() {
        return name.matches("syscalls/\\w+ .*");
    }
}
