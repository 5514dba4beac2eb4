package io.sluice.cli;

import io.sluice.text.Table;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import picocli.CommandLine.Option;

/** A command that prints a list of the admin API as a table or as JSON. */
abstract class ListCommand extends AdminCommand {
    /** Default of {@code --limit} for lists that can have very many items. */
    static final int DEFAULT_LIMIT = 1_000;

    /** Output format. */
    enum Output {
        table,
        wide,
        json
    }

    /**
     * A column of the table.
     *
     * @param wide whether the column is only in the wide format
     */
    record Column(String heading, Kind kind, boolean wide, Function<Item, String> value) {
        private enum Kind {
            TEXT,
            /** Without its end, an address is useless, so it is truncated only after the texts. */
            ADDRESS,
            /** Aligned right and never truncated. */
            NUMBER
        }

        static Column text(String heading, Function<Item, String> value) {
            return new Column(heading, Kind.TEXT, false, value);
        }

        static Column address(String heading, Function<Item, String> value) {
            return new Column(heading, Kind.ADDRESS, false, value);
        }

        static Column number(String heading, Function<Item, String> value) {
            return new Column(heading, Kind.NUMBER, false, value);
        }

        Column onlyWide() {
            return new Column(heading, kind, true, value);
        }
    }

    @Option(
            names = {"-o", "--output"},
            paramLabel = "FORMAT",
            defaultValue = "table",
            description = "Output format: table, wide (all columns, not truncated) or json. Default: table.")
    private Output output = Output.table;

    /** The request without {@code limit}; its parameters are the filters. */
    abstract AdminRequest request();

    /** The plural of the items, such as {@code endpoints}. */
    abstract String noun();

    abstract List<Column> columns();

    /** Maximum number of items to print. */
    int limit() {
        return Integer.MAX_VALUE;
    }

    final void requirePositive(int limit) {
        if (limit < 1) {
            throw usage("--limit: '" + limit + "' is invalid; must be a positive number");
        }
    }

    final boolean isJson() {
        return output == Output.json;
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        AdminClient.Items list = client.list(request(), limit());
        print(list.items());
        if (list.more()) {
            note("printed the first " + list.items().size() + " " + noun()
                    + "; set a filter, or a higher --limit, to see the others");
        }
        return 0;
    }

    final void print(List<Item> items) {
        if (isJson()) {
            printJson(array(items));
        } else if (items.isEmpty()) {
            out().println("no " + noun() + filters());
        } else {
            lines(columns(), items).forEach(out()::println);
        }
    }

    /** Describes the filters, such as {@code " with state refusing"}; empty if there are none. */
    private String filters() {
        Map<String, String> parameters = request().parameters();
        return parameters.isEmpty()
                ? ""
                : parameters.entrySet().stream()
                        .map(entry -> entry.getKey().toLowerCase(Locale.ROOT) + " " + entry.getValue())
                        .collect(Collectors.joining(", ", " with ", ""));
    }

    final List<String> lines(List<Column> columns, List<Item> items) {
        if (output == Output.wide) {
            return table(columns, items, true).lines();
        }
        // What reads the output through a pipe may look for a name or an address.
        return table(columns, items, false)
                .lines(invocation().columns(), !invocation().knowsColumns());
    }

    private static Table table(List<Column> columns, List<Item> items, boolean wide) {
        List<Column> shown =
                columns.stream().filter(column -> wide || !column.wide()).toList();
        Table table = new Table(shown.stream().map(Column::heading).toArray(String[]::new));
        for (int i = 0; i < shown.size(); i++) {
            switch (shown.get(i).kind()) {
                case NUMBER -> table.alignRight(i);
                case ADDRESS -> table.truncateLast(i);
                case TEXT -> {}
            }
        }
        for (Item item : items) {
            table.row(shown.stream().map(column -> column.value().apply(item)).toArray(String[]::new));
        }
        return table;
    }
}
