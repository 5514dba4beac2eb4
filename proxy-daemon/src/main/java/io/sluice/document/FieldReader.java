package io.sluice.document;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * A field of a YAML or JSON document: reads its value, and turns what is wrong with it into a {@link Problem} that names
 * the field. Kubernetes objects, kubeconfigs and configuration files are all read through it, so that they describe a
 * wrong value alike. The path is put together only when something is wrong; there are a million fields that are right.
 */
public final class FieldReader {
    private static final int MAX_NAME = 253;

    /** Of a field that is a value in a mapping, and of an item with a label. */
    private static final int NAMED = -1;

    private static final int LABELED = -2;

    private final JsonNode node;
    private final @Nullable FieldReader parent;
    private final String name;
    private final int index;
    private final Report report;

    /**
     * Where the problems of one object go.
     *
     * @param secret whether values may be credentials: then a problem names their type only
     */
    public record Report(String source, String object, List<Problem> problems, boolean secret) {
        public Report(String source, String object, List<Problem> problems) {
            this(source, object, problems, false);
        }
    }

    private FieldReader(JsonNode node, @Nullable FieldReader parent, String name, int index, Report report) {
        this.node = node;
        this.parent = parent;
        this.name = name;
        this.index = index;
        this.report = report;
    }

    public static FieldReader root(JsonNode node, Report report) {
        return new FieldReader(node, null, "", NAMED, report);
    }

    /** The field of this name; reading it is harmless whether or not it is there. */
    public FieldReader get(String child) {
        return new FieldReader(node.path(child), this, child, NAMED, report);
    }

    /** The same field, known by a label instead of its index: {@code users[name=admin]}. */
    public FieldReader labeled(String label) {
        return new FieldReader(node, parent, label, LABELED, report);
    }

    /** The name of the field in its mapping. */
    public String name() {
        return name;
    }

    /** The value as it was parsed. */
    public JsonNode value() {
        return node;
    }

    /** Whether the field is neither left out nor null: to the API server the two are the same. */
    public boolean present() {
        return !node.isMissingNode() && !node.isNull();
    }

    /** Whether it is a list with so many items. */
    public boolean isListOf(int items) {
        return node.isArray() && node.size() == items;
    }

    public boolean isText() {
        return node.isString();
    }

    public boolean isBoolean() {
        return node.isBoolean();
    }

    public boolean isNumber() {
        return node.isNumber();
    }

    public boolean isWholeNumber() {
        return node.isIntegralNumber();
    }

    public boolean isMapping() {
        return node.isObject();
    }

    public boolean isList() {
        return node.isArray();
    }

    /** Whether it is absent, or a list or mapping without content. */
    public boolean isEmpty() {
        return !present() || (node.isContainer() && node.isEmpty());
    }

    public boolean isEmptyList() {
        return node.isArray() && node.isEmpty();
    }

    /** Whether a map has the key, whatever its value. */
    public boolean has(String child) {
        return node.has(child);
    }

    /** A mapping, or nothing; anything else is reported, and its fields read as absent. */
    public FieldReader object() {
        if (present() && !node.isObject()) {
            mustBe("a mapping");
        }
        return this;
    }

    /** The items of a list that are mappings. */
    public List<FieldReader> objects() {
        List<FieldReader> objects = items();
        objects.removeIf(item -> {
            if (!item.node.isObject()) {
                item.mustBe("a mapping");
            }
            return !item.node.isObject();
        });
        return objects;
    }

    /** The fields of a mapping, in order; none of anything else, without a report. */
    public List<FieldReader> fields() {
        List<FieldReader> fields = new ArrayList<>(node.size());
        for (String child : node.propertyNames()) {
            fields.add(get(child));
        }
        return fields;
    }

    public List<FieldReader> items() {
        List<FieldReader> items = new ArrayList<>(node.size());
        if (node.isArray()) {
            for (JsonNode item : node) {
                items.add(new FieldReader(item, this, "", items.size(), report));
            }
        } else if (present()) {
            mustBe("a list");
        }
        return items;
    }

    /** The string; null if absent, or reported because it is of another type. */
    @Nullable
    public String text() {
        if (!present()) {
            return null;
        }
        if (!node.isString()) {
            reportNoText();
            return null;
        }
        return node.stringValue();
    }

    private void reportNoText() {
        boolean quotable = node.isNumber() || node.isBoolean();
        error("must be a string, not " + described() + (quotable ? "; put it in quotes" : ""));
    }

    public String text(String absent) {
        String text = text();
        return text == null ? absent : text;
    }

    /** The strings in a list; anything else in it was reported. */
    public List<String> texts() {
        List<String> texts = new ArrayList<>();
        for (FieldReader item : items()) {
            if (item.isText()) {
                texts.add(item.node.stringValue());
            } else {
                item.reportNoText();
            }
        }
        return texts;
    }

    /** The string; empty if it is absent or of another type, without a report. */
    public String textIfAny() {
        return node.stringValue("");
    }

    /** A string, number or boolean as a string, without a report; empty if it is none of them. */
    public String scalar() {
        return node.asString("");
    }

    /** The string; null if reported, because it is absent, empty or of another type. */
    @Nullable
    public String requiredText() {
        if (!present() || (node.isString() && node.stringValue().isEmpty())) {
            error("missing");
            return null;
        }
        return text();
    }

    /** A name of an object; null if reported, because it is absent or none. */
    @Nullable
    public String requiredName() {
        String text = requiredText();
        return text == null || isName(text) ? text : reportNoName();
    }

    /** A name, or empty; null if reported, because it is none. */
    @Nullable
    public String optionalName() {
        String text = present() ? text() : "";
        return text == null || text.isEmpty() || isName(text) ? text : reportNoName();
    }

    private @Nullable String reportNoName() {
        error(quoted() + " is not a name: allowed are a-z, 0-9, '-' and '.', with a letter or digit at both ends, at"
                + " most " + MAX_NAME + " in all");
        return null;
    }

    /** Names end up in log lines, tables and metrics, so it matters that the API server's rule holds here too. */
    public static boolean isName(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean inside = i > 0 && i < text.length() - 1 && (c == '-' || c == '.');
            if (!inside && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) {
                return false;
            }
        }
        return !text.isEmpty() && text.length() <= MAX_NAME;
    }

    /** The value, or the default where absent; null if reported, because it is neither true nor false. */
    @Nullable
    public Boolean bool(boolean absent) {
        if (present() && !node.isBoolean()) {
            mustBe("true or false");
            return null;
        }
        return present() ? node.booleanValue() : absent;
    }

    /** The number; 0 if reported, because it is absent, no whole number or out of range. */
    public int required(int least, int most) {
        if (!present()) {
            error("missing; allowed is " + least + ".." + most);
            return 0;
        }
        if (!node.isIntegralNumber()) {
            mustBe("a whole number in " + least + ".." + most);
            return 0;
        }
        if (!node.canConvertToInt() || node.intValue() < least || node.intValue() > most) {
            error(quoted() + " is not in " + least + ".." + most);
            return 0;
        }
        return node.intValue();
    }

    /** The address; null if reported, because it is absent or no address. */
    @Nullable
    public IpAddress address() {
        String text = requiredText();
        IpAddress address = text == null ? null : IpAddress.parse(text);
        if (text != null && address == null) {
            error(quoted() + " is not an IPv4 or IPv6 address");
        } else if (address != null && address.isUnspecified()) {
            error(quoted() + " is no address of anything");
            return null;
        }
        return address;
    }

    /** The range, blanks around it left out as Kubernetes does; null if reported, because it is absent or none. */
    @Nullable
    public Cidr cidr() {
        String text = requiredText();
        Cidr range = text == null ? null : Cidr.parse(text.strip());
        if (text != null && range == null) {
            error(quoted() + " is not a range such as 10.0.0.0/8 or fd00::/8");
        }
        return range;
    }

    /** The ranges in a list; those that are none were reported. */
    public List<Cidr> cidrs() {
        List<Cidr> ranges = new ArrayList<>();
        for (FieldReader item : items()) {
            Cidr range = item.cidr();
            if (range != null) {
                ranges.add(range);
            }
        }
        return ranges;
    }

    /** The addresses in a list, each once; those that are none were reported. */
    public List<IpAddress> addresses() {
        List<IpAddress> addresses = new ArrayList<>();
        for (FieldReader item : items()) {
            IpAddress address = item.address();
            if (address != null && !addresses.contains(address)) {
                addresses.add(address);
            }
        }
        return addresses;
    }

    /** The number, 0 where absent or reported, because it is no whole number or out of range. */
    public int optional(int most) {
        return !present() || (node.isIntegralNumber() && node.canConvertToInt() && node.intValue() == 0)
                ? 0
                : required(1, most);
    }

    public void error(String message) {
        report(Problem.Severity.ERROR, message);
    }

    public void warning(String message) {
        report(Problem.Severity.WARNING, message);
    }

    private void report(Problem.Severity severity, String message) {
        report.problems().add(problem(severity, message));
    }

    private Problem problem(Problem.Severity severity, String message) {
        return new Problem(severity, report.source(), report.object(), path(), message);
    }

    /** Reports a value of the wrong type, or a wrong value: {@code must be a list, not the number 5}. */
    public void mustBe(String expected) {
        error("must be " + expected + ", not " + described());
    }

    /** Reports the same where what is allowed takes more words: {@code the number 5 is not allowed; give ...}. */
    public void notAllowed(String allowed) {
        error((present() ? described() + " is not allowed" : "missing") + "; give " + allowed);
    }

    /** The value with its type: {@code the string 'two'}. */
    private String described() {
        boolean named = !report.secret();
        return switch (node.getNodeType()) {
            case OBJECT, POJO -> "a mapping";
            case ARRAY -> "a list";
            case STRING, BINARY -> named ? "the string " + quoted() : "a string";
            case NUMBER -> named ? "the number " + quoted() : "a number";
            case BOOLEAN -> named ? "the boolean " + quoted() : "a boolean";
            case NULL, MISSING -> "null";
        };
    }

    /** The value, cut where it gets long: a string in single quotes, a list or mapping as JSON. */
    public String quoted() {
        if (report.secret()) {
            return described();
        }
        return node.isContainer()
                ? Problem.shortened(node.toString())
                : node.isString() ? Problem.quoted(node.stringValue()) : node.asString("null");
    }

    /** Source, object and path, as they are before the message of a problem. */
    public String place() {
        return problem(Problem.Severity.NOTE, "").place();
    }

    /** {@code spec.ports[0].port}; a name that would be taken for a path itself is in brackets. */
    public String path() {
        if (parent == null) {
            return "";
        }
        String before = parent.path();
        if (index >= 0) {
            return before + "[" + index + "]";
        }
        if (index == LABELED || name.indexOf('/') >= 0 || name.indexOf('.') >= 0) {
            return before + "[" + name + "]";
        }
        return before.isEmpty() ? name : before + "." + name;
    }
}
