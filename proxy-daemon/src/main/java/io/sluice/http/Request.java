package io.sluice.http;

/**
 * A completely received request. The body is discarded.
 *
 * @param path path as sent, percent-encoded
 * @param query the part after the question mark, or an empty string
 */
public record Request(String method, String path, String query) {
    private static final String SCHEME = "http://";

    /**
     * Creates a request by parsing its target.
     *
     * @param requestTarget in origin or absolute form; a server must accept both (RFC 9112, section 3.2.2)
     */
    static Request of(String method, String requestTarget) {
        String target = originForm(requestTarget);
        int mark = target.indexOf('?');
        return mark < 0
                ? new Request(method, target, "")
                : new Request(method, target.substring(0, mark), target.substring(mark + 1));
    }

    private static String originForm(String target) {
        if (!target.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
            return target;
        }
        for (int i = SCHEME.length(); i < target.length(); i++) {
            if (target.charAt(i) == '/') {
                return target.substring(i);
            }
            if (target.charAt(i) == '?') {
                return "/" + target.substring(i);
            }
        }
        return "/";
    }
}
