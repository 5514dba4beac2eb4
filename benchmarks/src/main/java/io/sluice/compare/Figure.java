package io.sluice.compare;

/** One measured value. */
record Figure(String name, String unit, boolean lessIsBetter, double value) {
    static Figure more(String name, String unit, double value) {
        return new Figure(name, unit, false, value);
    }

    static Figure less(String name, String unit, double value) {
        return new Figure(name, unit, true, value);
    }
}
