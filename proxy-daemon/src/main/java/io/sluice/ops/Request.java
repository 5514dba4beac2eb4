package io.sluice.ops;

/**
 * A complete request. Its body was read and discarded.
 *
 * @param path as it was sent, percent-encoded
 * @param query the part after the question mark; empty without one
 */
public record Request(String method, String path, String query) {
    static Request of(String method, String target) {
        int mark = target.indexOf('?');
        return mark < 0
                ? new Request(method, target, "")
                : new Request(method, target.substring(0, mark), target.substring(mark + 1));
    }
}
