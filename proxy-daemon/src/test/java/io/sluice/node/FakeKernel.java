package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.node.SetElements.Element;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A kernel in memory that interprets the nft scripts and routing changes of node mode, and rejects all others. */
final class FakeKernel implements NodeKernel {
    private static final Pattern STATEMENT = Pattern.compile(
            "(?:(add|delete|flush) )?(table|set|chain|rule|element) inet (\\S+)(?: ([a-z][\\w-]*))?(?: (.*))?",
            Pattern.DOTALL);
    private static final Pattern HOOK = Pattern.compile("type \\w+ hook [^;]*;( policy \\w+;)?");
    private static final Pattern DECLARATION = Pattern.compile("(set|map|chain) ([a-z][\\w-]*) \\{");

    private static final JsonNode ROUTE =
            JsonMapper.shared().readTree("{\"type\":\"local\",\"dst\":\"default\",\"dev\":\"lo\"}");

    /**
     * The content of a table, by name.
     *
     * @param declarations of sets and maps: types and flags
     * @param sets the elements of sets and maps
     * @param hooks of base chains: type, hook, priority and policy
     * @param chains the rules of chains
     */
    record Table(
            Map<String, String> declarations,
            Map<String, Map<String, String>> sets,
            Map<String, String> hooks,
            Map<String, List<String>> chains) {
        Table() {
            this(new TreeMap<>(), new TreeMap<>(), new TreeMap<>(), new TreeMap<>());
        }

        Table copy() {
            Table copy = new Table();
            copy.declarations.putAll(declarations);
            sets.forEach((name, elements) -> copy.sets.put(name, new TreeMap<>(elements)));
            copy.hooks.putAll(hooks);
            chains.forEach((name, rules) -> copy.chains.put(name, new ArrayList<>(rules)));
            return copy;
        }

        void addChain(String name, String body) {
            chains.computeIfAbsent(name, any -> new ArrayList<>()).addAll(rules(body));
            Matcher hook = HOOK.matcher(body);
            if (hook.find()) {
                hooks.put(name, hook.group());
            }
        }
    }

    /** The scripts that were loaded, and those that were rejected. */
    final List<String> loaded = new ArrayList<>();

    final List<String> rejected = new ArrayList<>();

    /** Matches elements because of which a script is rejected. */
    Predicate<Element> rejects = element -> false;

    /** Output of {@code nft -j list} by the name of an object, such as {@code ip nat POSTROUTING}. */
    final Map<String, JsonNode> lists = new TreeMap<>();

    boolean failsToListConnections;
    boolean tracksConnections;
    boolean closed;

    private Map<String, Table> tables = new TreeMap<>();
    private final Map<Family, List<RoutingRule>> rules = new EnumMap<>(Family.class);
    private final Map<Family, Set<String>> routes = new EnumMap<>(Family.class);

    FakeKernel() {
        for (Family family : Family.values()) {
            rules.put(family, new ArrayList<>());
            routes.put(family, new TreeSet<>());
        }
    }

    /** The table of Sluice. */
    Table table() {
        return Objects.requireNonNull(tables.get("sluice"));
    }

    /** All tables, rules, elements, routing rules and routes, one per line. */
    List<String> dump() {
        List<String> lines = new ArrayList<>();
        tables.forEach((name, table) -> {
            lines.add("table " + name);
            table.chains.forEach((chain, all) -> all.forEach(rule -> lines.add("rule " + chain + ": " + rule)));
            table.sets.forEach((set, elements) -> elements.forEach(
                    (key, value) -> lines.add("element " + set + ": " + new Element(set, key, value).text())));
        });
        rules.forEach((family, all) -> all.forEach(rule -> lines.add(family + " routing rule " + rule.text())));
        routes.forEach((family, all) -> all.forEach(table -> lines.add(family + " route in table " + table)));
        return lines;
    }

    @Override
    public void load(String script) throws IOException {
        try {
            tables = after(script);
            loaded.add(script);
        } catch (IOException e) {
            rejected.add(script);
            throw e;
        }
    }

    @Override
    public void check(String script) throws IOException {
        after(script);
    }

    private Map<String, Table> after(String script) throws IOException {
        Map<String, Table> next = new TreeMap<>();
        tables.forEach((name, table) -> next.put(name, table.copy()));
        StringBuilder statement = new StringBuilder();
        int depth = 0;
        for (String line : script.lines().map(String::strip).toList()) {
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            statement.append(line).append('\n');
            depth += count(line, '{') - count(line, '}');
            if (depth == 0) {
                interpret(statement.toString().strip(), next);
                statement.setLength(0);
            }
        }
        if (depth != 0) {
            throw new IOException("unexpected end of script");
        }
        return next;
    }

    private static int count(String line, char which) {
        return (int) line.chars().filter(each -> each == which).count();
    }

    private void interpret(String statement, Map<String, Table> into) throws IOException {
        Matcher matcher = STATEMENT.matcher(statement);
        if (!matcher.matches()) {
            throw new IOException("syntax error: " + statement);
        }
        String operation = Objects.requireNonNullElse(matcher.group(1), "add") + " " + matcher.group(2);
        String tableName = matcher.group(3);
        String name = Objects.requireNonNullElse(matcher.group(4), "");
        String rest = Objects.requireNonNullElse(matcher.group(5), "");
        switch (operation) {
            case "add table" -> declare(into.computeIfAbsent(tableName, any -> new Table()), rest);
            case "delete table" -> found(into.remove(tableName), statement);
            default -> change(found(into.get(tableName), statement), operation, name, rest);
        }
    }

    private void change(Table table, String operation, String name, String rest) throws IOException {
        switch (operation) {
            case "add element" -> addElements(name, found(table.sets.get(name), name), rest);
            case "delete element" -> deleteElements(found(table.sets.get(name), name), rest);
            case "flush set" -> found(table.sets.get(name), name).clear();
            case "add chain" -> table.addChain(name, rest);
            case "delete chain" -> {
                found(table.chains.remove(name), name);
                table.hooks.remove(name);
            }
            case "flush chain" -> found(table.chains.get(name), name).clear();
            case "add rule" -> found(table.chains.get(name), name).add(rest);
            default -> throw new IOException("syntax error: " + operation);
        }
    }

    private static <T> T found(@Nullable T object, String what) throws IOException {
        if (object == null) {
            throw new IOException("No such file or directory: " + what);
        }
        return object;
    }

    /** @param body the body of a table in braces, or empty */
    private static void declare(Table table, String body) {
        Matcher matcher = DECLARATION.matcher(body);
        for (int at = 0; matcher.find(at); ) {
            int end = matcher.end();
            for (int depth = 1; depth > 0; end++) {
                depth += body.charAt(end) == '{' ? 1 : body.charAt(end) == '}' ? -1 : 0;
            }
            String inner = body.substring(matcher.end(), end - 1);
            if (matcher.group(1).equals("chain")) {
                table.addChain(matcher.group(2), inner);
            } else {
                table.declarations.putIfAbsent(matcher.group(2), inner.strip());
                table.sets.computeIfAbsent(matcher.group(2), any -> new TreeMap<>());
            }
            at = end;
        }
    }

    /** The rules of a chain, without the hook and policy of a base chain. */
    private static List<String> rules(String body) {
        return Stream.of(body.split("[;\n]"))
                .map(String::strip)
                .filter(line -> !line.isEmpty() && !line.matches("[{}]|\\{? ?type .*|policy .*"))
                .toList();
    }

    private void addElements(String set, Map<String, String> to, String list) throws IOException {
        for (Element element : parse(set, list)) {
            if (rejects.test(element)) {
                throw new IOException("rejected: " + element.text());
            }
            String before = to.put(element.key(), element.value());
            if (before != null && !before.equals(element.value())) {
                throw new IOException("File exists: " + element.text());
            }
        }
    }

    private static void deleteElements(Map<String, String> from, String list) throws IOException {
        for (Element element : parse("", list)) {
            if (!from.remove(element.key(), element.value())) {
                throw new IOException("No such file or directory: " + element.text());
            }
        }
    }

    private static List<Element> parse(String set, String list) {
        return Stream.of(list.substring(1, list.length() - 1).strip().split(", "))
                .map(text -> text.split(" : "))
                .map(parts -> new Element(set, parts[0], parts.length == 1 ? "" : parts[1]))
                .toList();
    }

    @Override
    public JsonNode list(String... what) throws IOException {
        String name = String.join(" ", List.of(what).subList(1, what.length));
        return found(lists.get(name), String.join(" ", what));
    }

    @Override
    public List<Element> elements(String kind, String name) throws IOException {
        Table table = found(tables.get("sluice"), "table");
        return found(table.sets.get(name), name).entrySet().stream()
                .map(each -> new Element(name, each.getKey(), each.getValue()))
                .toList();
    }

    @Override
    public List<RoutingRule> rules(Family family) {
        return List.copyOf(of(rules, family));
    }

    @Override
    public List<JsonNode> routes(Family family, String... which) {
        return of(routes, family).contains(which[1]) ? List.of(ROUTE) : List.of();
    }

    @Override
    public String route(Family family, String address, String mark) {
        return "no route";
    }

    @Override
    public void changeRouting(Family family, String... change) throws IOException {
        List<String> words = List.of(change);
        String line = String.join(" ", change);
        switch (line.replaceAll("0x\\S+|\\d+", "N")) {
            case "route replace local default dev lo table N" ->
                of(routes, family).add(words.get(7));
            case "route flush table N" -> of(routes, family).remove(words.get(3));
            case "rule add fwmark N lookup N priority N" -> {
                String[] mark = words.get(3).split("/");
                of(rules, family)
                        .add(new RoutingRule(
                                Integer.parseInt(words.get(7)),
                                Long.decode(mark[0]),
                                Long.decode(mark[1]),
                                words.get(5),
                                line));
            }
            case "rule del fwmark N lookup N priority N" -> deleteRule(family, words.get(7), words.get(5));
            case "rule del priority N lookup N" -> deleteRule(family, words.get(3), words.get(5));
            default -> throw new IOException("not supported by the fake kernel: " + line);
        }
    }

    private void deleteRule(Family family, String priority, String table) throws IOException {
        if (!of(rules, family)
                .removeIf(rule -> String.valueOf(rule.priority()).equals(priority)
                        && rule.table().equals(table))) {
            throw new IOException("No such file or directory: rule of priority " + priority);
        }
    }

    private static <T> T of(Map<Family, T> all, Family family) {
        return Objects.requireNonNull(all.get(family));
    }

    @Override
    public Set<String> bridges() {
        return Set.of();
    }

    @Override
    public boolean tracksConnections() {
        return tracksConnections;
    }

    @Override
    public List<TcpConnection> connections() throws IOException {
        if (failsToListConnections) {
            throw new IOException("ss: killed");
        }
        return List.of();
    }

    @Override
    public void close() {
        closed = true;
    }
}
