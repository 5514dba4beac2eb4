package io.sluice.document;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * Reads a field of a YAML or JSON document and reports an invalid value as a {@link Problem} with the path of the
 * field. Kubernetes objects, kubeconfigs and configuration files are all read with this class, so that all errors have
 * the same form. The path is built only for a problem, because a large feed has a million valid fields.
 */
public final class FieldReader {
    private static final int MAX_NAME = 253;

    // Used instead of an index, for a value in a mapping and for a list item with a label.
    private static final int NAMED = -1;
    private static final int LABELED = -2;

    private final JsonNode node;
    private final @Nullable FieldReader parent;
    private final String name;
    private final int index;
    private final Report report;

    /**
     * Collects the problems of one object.
     *
     * @param secret whether values may be credentials; if so, problems contain only the types of values
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

    /** Creates a reader for a whole document or object. */
    public static FieldReader root(JsonNode node, Report report) {
        return new FieldReader(node, null, "", NAMED, report);
    }

    /** Returns the field with the given name, which may be absent. If this is not a mapping, every field is absent. */
    public FieldReader get(String child) {
        return new FieldReader(node.path(child), this, child, NAMED, report);
    }

    /** Returns this field with a label instead of the index in its path, such as {@code users[name=admin]}. */
    public FieldReader labeled(String label) {
        return new FieldReader(node, parent, label, LABELED, report);
    }

    /** The name of the field in its mapping. */
    public String name() {
        return name;
    }

    /** The parsed value. */
    public JsonNode value() {
        return node;
    }

    /** Whether the field is set. As in the API server, null means absent. */
    public boolean present() {
        return !node.isMissingNode() && !node.isNull();
    }

    /** Whether the value is a list with the given number of items. */
    public boolean isListOf(int items) {
        return node.isArray() && node.size() == items;
    }

    public boolean isString() {
        return node.isString();
    }

    public boolean isBoolean() {
        return node.isBoolean();
    }

    public boolean isNumber() {
        return node.isNumber();
    }

    /** Whether the value is a number without a fraction. */
    public boolean isWholeNumber() {
        return node.isIntegralNumber();
    }

    public boolean isMapping() {
        return node.isObject();
    }

    public boolean isList() {
        return node.isArray();
    }

    /** Whether the value is absent, or an empty list or mapping. */
    public boolean isEmpty() {
        return !present() || (node.isContainer() && node.isEmpty());
    }

    public boolean isEmptyList() {
        return node.isArray() && node.isEmpty();
    }

    /** Whether the value is a mapping that contains the given key; the value of the key may be null. */
    public boolean has(String child) {
        return node.has(child);
    }

    /** Returns this field. Reports a value that is not a mapping; the fields of such a value are absent. */
    public FieldReader object() {
        if (present() && !node.isObject()) {
            mustBe("a mapping");
        }
        return this;
    }

    /** Returns the list items that are mappings. Reports other items. */
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

    /** Returns the fields of a mapping in order; empty, without a report, if the value is not a mapping. */
    public List<FieldReader> fields() {
        List<FieldReader> fields = new ArrayList<>(node.size());
        for (String child : node.propertyNames()) {
            fields.add(get(child));
        }
        return fields;
    }

    /** Returns the list items; empty if absent. Reports a value that is not a list and returns an empty list. */
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

    /** Returns the string; null if absent. Reports a value of another type and returns null. */
    @Nullable
    public String string() {
        if (!present()) {
            return null;
        }
        if (!node.isString()) {
            reportNotString();
            return null;
        }
        return node.stringValue();
    }

    private void reportNotString() {
        boolean quotable = node.isNumber() || node.isBoolean();
        error("must be a string, not " + described() + (quotable ? "; put it in quotes" : ""));
    }

    /** Returns the string, or the default if absent. Reports a value of another type and returns the default. */
    public String string(String defaultValue) {
        String text = string();
        return text == null ? defaultValue : text;
    }

    /** Returns the strings in a list. Reports other items. */
    public List<String> strings() {
        List<String> strings = new ArrayList<>();
        for (FieldReader item : items()) {
            if (item.isString()) {
                strings.add(item.node.stringValue());
            } else {
                item.reportNotString();
            }
        }
        return strings;
    }

    /** Returns the string; an empty one, without a report, if the value is absent or has another type. */
    public String stringOrEmpty() {
        return node.stringValue("");
    }

    /** Returns a string, number or boolean as a string; an empty string, without a report, for other values. */
    public String scalar() {
        return node.asString("");
    }

    /** Returns the string. Reports an absent or empty string and a value of another type, and returns null. */
    @Nullable
    public String requiredString() {
        if (!present() || (node.isString() && node.stringValue().isEmpty())) {
            error("missing");
            return null;
        }
        return string();
    }

    /** Returns the object name. Reports an absent or invalid name and returns null. */
    @Nullable
    public String requiredName() {
        String text = requiredString();
        return text == null || isName(text) ? text : reportInvalidName();
    }

    /** Returns the object name, or an empty string if absent. Reports an invalid name and returns null. */
    @Nullable
    public String optionalName() {
        String text = present() ? string() : "";
        return text == null || text.isEmpty() || isName(text) ? text : reportInvalidName();
    }

    private @Nullable String reportInvalidName() {
        error(quoted() + " is not a valid name; must consist of a-z, 0-9, '-' and '.', begin and end with a letter or"
                + " digit, and have at most " + MAX_NAME + " characters");
        return null;
    }

    /** Whether a string is a valid object name in Kubernetes. Logs and metrics rely on names being valid. */
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

    /** Returns the boolean, or the default if absent. Reports a value of another type and returns null. */
    @Nullable
    public Boolean bool(boolean defaultValue) {
        if (present() && !node.isBoolean()) {
            mustBe("true or false");
            return null;
        }
        return present() ? node.booleanValue() : defaultValue;
    }

    /** Returns the number. Reports an absent, fractional or out-of-range number and returns 0. */
    public int required(int min, int max) {
        if (!present()) {
            error("missing; must be in " + min + ".." + max);
            return 0;
        }
        if (!node.isIntegralNumber()) {
            mustBe("a whole number in " + min + ".." + max);
            return 0;
        }
        if (!node.canConvertToInt() || node.intValue() < min || node.intValue() > max) {
            error(quoted() + " is not in " + min + ".." + max);
            return 0;
        }
        return node.intValue();
    }

    /** Returns the IP address. Reports an absent, invalid or unspecified address and returns null. */
    @Nullable
    public IpAddress address() {
        String text = requiredString();
        IpAddress address = text == null ? null : IpAddress.parse(text);
        if (text != null && address == null) {
            error(quoted() + " is not an IPv4 or IPv6 address");
        } else if (address != null && address.isUnspecified()) {
            error(quoted() + " is the unspecified address");
            return null;
        }
        return address;
    }

    /** Returns the CIDR range. Reports an absent or invalid range and returns null. As in Kubernetes, strips spaces. */
    @Nullable
    public Cidr cidr() {
        String text = requiredString();
        Cidr range = text == null ? null : Cidr.parse(text.strip());
        if (text != null && range == null) {
            error(quoted() + " is not a range such as 10.0.0.0/8 or fd00::/8");
        }
        return range;
    }

    /** Returns the CIDR ranges in a list. Reports other items. */
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

    /** Returns the IP addresses in a list without duplicates. Reports other items. */
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

    /** Returns the number from 1 to {@code max}; 0 if zero or absent. Reports an invalid number and returns 0. */
    public int optional(int max) {
        return !present() || (node.isIntegralNumber() && node.canConvertToInt() && node.intValue() == 0)
                ? 0
                : required(1, max);
    }

    public void error(String message) {
        report.problems().add(problem(Problem.Severity.ERROR, message));
    }

    public void warning(String message) {
        report.problems().add(problem(Problem.Severity.WARNING, message));
    }

    private Problem problem(Problem.Severity severity, String message) {
        return new Problem(severity, report.source(), report.object(), path(), message);
    }

    /** Reports an invalid value, such as {@code must be a list, not the number 5}. */
    public void mustBe(String expected) {
        error("must be " + expected + ", not " + described());
    }

    /** Reports an invalid value in a form suited to long descriptions: {@code the number 5 is invalid; must be ...}. */
    public void invalid(String allowed) {
        error((present() ? described() + " is invalid" : "missing") + "; must be " + allowed);
    }

    /** Describes the value with its type, such as {@code the string 'two'}. */
    private String described() {
        boolean showValue = !report.secret();
        return switch (node.getNodeType()) {
            case OBJECT, POJO -> "a mapping";
            case ARRAY -> "a list";
            case STRING, BINARY -> showValue ? "the string " + quoted() : "a string";
            case NUMBER -> showValue ? "the number " + quoted() : "a number";
            case BOOLEAN -> showValue ? "the boolean " + quoted() : "a boolean";
            case NULL, MISSING -> "null";
        };
    }

    /** Returns the value for a message, shortened: a string in single quotes, a list or mapping as JSON. */
    public String quoted() {
        if (report.secret()) {
            return described();
        }
        return node.isContainer()
                ? Problem.shortened(node.toString())
                : node.isString() ? Problem.quoted(node.stringValue()) : node.asString("null");
    }

    /** Returns the prefix of problems of this field: source, object and path. */
    public String place() {
        return problem(Problem.Severity.NOTE, "").place();
    }

    /** Returns the path, such as {@code spec.ports[0].port}. Names that contain a dot or a slash are in brackets. */
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
