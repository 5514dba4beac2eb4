package io.sluice.document;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * A place in an object: reads what is there, and turns what is wrong with it into a {@link Problem} that names the
 * place. The path is put together only when something is wrong; there are a million fields that are right.
 */
public final class FieldReader {
    private static final int MAX_QUOTED = 60;
    private static final int MAX_NAME = 253;

    private final JsonNode node;
    private final @Nullable FieldReader parent;
    private final String name;
    private final int index;
    private final Report report;

    /** Where the problems of one object go. */
    public record Report(String source, String object, List<Problem> problems) {}

    private FieldReader(JsonNode node, @Nullable FieldReader parent, String name, int index, Report report) {
        this.node = node;
        this.parent = parent;
        this.name = name;
        this.index = index;
        this.report = report;
    }

    public static FieldReader root(JsonNode node, Report report) {
        return new FieldReader(node, null, "", -1, report);
    }

    /** The field of this name; reading it is harmless whether or not it is there. */
    public FieldReader get(String child) {
        return new FieldReader(node.path(child), this, child, -1, report);
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

    public boolean isEmptyList() {
        return node.isArray() && node.isEmpty();
    }

    /** Whether a map has the key, whatever its value. */
    public boolean has(String child) {
        return node.has(child);
    }

    /** An object, or nothing; anything else is reported, and its fields read as absent. */
    public FieldReader object() {
        if (present() && !node.isObject()) {
            error(quoted() + " is not an object");
        }
        return this;
    }

    /** The items of a list that are objects. */
    public List<FieldReader> objects() {
        List<FieldReader> objects = items();
        objects.removeIf(item -> {
            if (!item.node.isObject()) {
                item.error(item.quoted() + " is not an object");
            }
            return !item.node.isObject();
        });
        return objects;
    }

    public List<FieldReader> items() {
        List<FieldReader> items = new ArrayList<>(node.size());
        if (node.isArray()) {
            for (JsonNode item : node) {
                items.add(new FieldReader(item, this, "", items.size(), report));
            }
        } else if (present()) {
            error(quoted() + " is not a list");
        }
        return items;
    }

    /** The text; null if absent, or reported because it is no text. */
    @Nullable
    public String text() {
        if (!present()) {
            return null;
        }
        if (!node.isString()) {
            error(quoted() + " is not a text; put it in quotes");
            return null;
        }
        return node.stringValue();
    }

    public String text(String absent) {
        String text = text();
        return text == null ? absent : text;
    }

    /** The text; null if reported, because it is absent, empty or no text. */
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
            error(quoted() + " is not true or false");
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
            error(quoted() + " is not a whole number in " + least + ".." + most);
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
        report.problems().add(new Problem(severity, report.source(), report.object(), path(), message));
    }

    /** The value as it would stand in JSON, cut where it gets long. */
    public String quoted() {
        String text = node.toString();
        return text.length() <= MAX_QUOTED ? text : text.substring(0, MAX_QUOTED) + "...";
    }

    String path() {
        if (parent == null) {
            return "";
        }
        String before = parent.path();
        if (index >= 0) {
            return before + "[" + index + "]";
        }
        if (name.indexOf('/') >= 0) {
            return before + "[" + name + "]";
        }
        return before.isEmpty() ? name : before + "." + name;
    }
}
