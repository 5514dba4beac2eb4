package io.sluice.compare;

/** One measured value. */
record Figure(String name, String unit, Better better, double value) {
    enum Better {
        MORE,
        LESS,
        /** It tells something of the run, and is not compared. */
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

    /** Counts of single system calls have a table of their own. */
    boolean isSystemCall() {
        return name.matches("syscalls/\\w+ .*");
    }
}
