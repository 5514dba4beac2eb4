package io.sluice.apiserver;

import io.sluice.apiserver.Pem.Identity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.jspecify.annotations.Nullable;

/** Source of the Authorization header: none, a bearer token, a user name and password, or an exec plugin. */
final class Credentials {
    static final Credentials NONE = new Credentials(null, null, null);

    private final @Nullable String basicHeader;
    private final @Nullable FileCredential token;
    private final @Nullable ExecPlugin plugin;

    private Credentials(@Nullable String basicHeader, @Nullable FileCredential token, @Nullable ExecPlugin plugin) {
        this.basicHeader = basicHeader;
        this.token = token;
        this.plugin = plugin;
    }

    static Credentials basic(String user, String password) {
        byte[] pair = (user + ":" + password).getBytes(StandardCharsets.UTF_8);
        return new Credentials("Basic " + Base64.getEncoder().encodeToString(pair), null, null);
    }

    /** Creates credentials that send a bearer token; fails if the token is invalid. */
    static Credentials bearer(FileCredential token) throws ApiAccessException {
        try {
            bearer(token.name(), token.text());
        } catch (IOException e) {
            throw new ApiAccessException(String.valueOf(e.getMessage()));
        }
        return new Credentials(null, token, null);
    }

    static Credentials plugin(ExecPlugin plugin) {
        return new Credentials(null, null, plugin);
    }

    /** Value of the Authorization header; null for none. May block, because it runs the exec plugin if needed. */
    @Nullable
    String authorization(long nowNanos) throws IOException {
        if (token != null) {
            token.refresh(nowNanos, false);
            return bearer(token.name(), token.text());
        }
        if (plugin != null) {
            String said = plugin.credential().token();
            return said == null ? null : bearer("token of the exec plugin", said);
        }
        return basicHeader;
    }

    /** Client certificate from the exec plugin; null if there is none. */
    @Nullable
    Identity identity() throws IOException {
        return plugin == null ? null : plugin.credential().identity();
    }

    /**
     * Reports that a server responded with 401.
     *
     * @return whether a retry may use different credentials
     */
    boolean reportRejected(@Nullable String authorization, long nowNanos) {
        if (plugin != null) {
            plugin.reportRejected(authorization == null ? null : authorization.substring("Bearer ".length()));
            return true;
        }
        return isReplaced(authorization, nowNanos);
    }

    /** Whether the token comes from a file that now contains a different one. */
    boolean isReplaced(@Nullable String authorization, long nowNanos) {
        if (token == null) {
            return false;
        }
        token.refresh(nowNanos, true);
        String now = "Bearer " + token.text().strip();
        return !now.equals(authorization);
    }

    /** Describes the credentials, for messages. */
    String description() {
        if (token != null) {
            return "the token in " + token.name();
        }
        if (plugin != null) {
            return "those from the exec plugin";
        }
        return basicHeader == null ? "none" : "a user name and password";
    }

    /** Returns the header for a token; validates it first, because an error message of the JDK would contain it. */
    private static String bearer(String name, String token) throws IOException {
        String stripped = token.strip();
        if (stripped.isEmpty() || !stripped.chars().allMatch(c -> c > ' ' && c < 0x7F)) {
            throw new IOException(name
                    + (stripped.isEmpty()
                            ? ": empty token"
                            : ": not a valid token: contains" + " whitespace, control or non-ASCII characters"));
        }
        return "Bearer " + stripped;
    }
}
