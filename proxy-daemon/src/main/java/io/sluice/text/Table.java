package io.sluice.text;

import java.util.ArrayList;
import java.util.List;

/** A table with aligned columns. A cell may have several lines. */
public final class Table {
    private final List<List<String>> rows = new ArrayList<>();
    private final int columns;

    /** Creates a table with these column headings. */
    public Table(String... headings) {
        columns = headings.length;
        rows.add(List.of(headings));
    }

    /** Adds a row; lines within a cell are separated by {@code \n}. */
    public void row(String... cells) {
        List<String[]> lines = new ArrayList<>();
        int height = 1;
        for (String cell : cells) {
            String[] split = cell.split("\n");
            lines.add(split);
            height = Math.max(height, split.length);
        }
        for (int line = 0; line < height; line++) {
            List<String> row = new ArrayList<>();
            for (String[] cell : lines) {
                row.add(line < cell.length ? cell[line] : "");
            }
            rows.add(row);
        }
    }

    /** Returns the lines, starting with the headings, without trailing spaces. */
    public List<String> lines() {
        int[] widths = new int[columns];
        for (List<String> row : rows) {
            for (int i = 0; i < columns; i++) {
                widths[i] = Math.max(widths[i], row.get(i).length());
            }
        }
        List<String> lines = new ArrayList<>();
        for (List<String> row : rows) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < columns; i++) {
                line.append(row.get(i)).append(" ".repeat(widths[i] - row.get(i).length() + 2));
            }
            lines.add(line.toString().stripTrailing());
        }
        return lines;
    }

    /** Returns a number and a noun in the singular or plural: {@code 1 address}, {@code 2 addresses}. */
    public static String count(long count, String one) {
        return count + " " + one + (count == 1 ? "" : one.endsWith("s") ? "es" : "s");
    }
}
