package io.sluice.apiserver;

import io.sluice.apiserver.Pem.Identity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.jspecify.annotations.Nullable;

/** What goes into the Authorization header: nothing, a token, a user with a password, or what a plugin says. */
final class Credentials {
    static final Credentials NONE = new Credentials(null, null, null);

    private final @Nullable String fixed;
    private final @Nullable FileCredential token;
    private final @Nullable ExecPlugin plugin;

    private Credentials(@Nullable String fixed, @Nullable FileCredential token, @Nullable ExecPlugin plugin) {
        this.fixed = fixed;
        this.token = token;
        this.plugin = plugin;
    }

    static Credentials basic(String user, String password) {
        byte[] pair = (user + ":" + password).getBytes(StandardCharsets.UTF_8);
        return new Credentials("Basic " + Base64.getEncoder().encodeToString(pair), null, null);
    }

    /** @throws ApiAccessException if it cannot be one */
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

    /** The header's value; null for none. May take as long as a plugin does. */
    @Nullable
    String authorization(long nowNanos) throws IOException {
        if (token != null) {
            token.refresh(nowNanos, false);
            return bearer(token.name(), token.text());
        }
        if (plugin != null) {
            String said = plugin.credential().token();
            return said == null ? null : bearer("the token of the exec plugin", said);
        }
        return fixed;
    }

    /** A certificate of a plugin's. */
    @Nullable
    Identity identity() throws IOException {
        return plugin == null ? null : plugin.credential().identity();
    }

    /**
     * Told that the server does not take this one.
     *
     * @return whether asking again may give another
     */
    boolean refused(@Nullable String authorization, long nowNanos) {
        if (plugin != null) {
            plugin.refused(authorization == null ? null : authorization.substring("Bearer ".length()));
            return true;
        }
        return isReplaced(authorization, nowNanos);
    }

    /** Whether the token's file holds another one than was shown. */
    boolean isReplaced(@Nullable String authorization, long nowNanos) {
        if (token == null) {
            return false;
        }
        token.refresh(nowNanos, true);
        String now = "Bearer " + token.text().strip();
        return !now.equals(authorization);
    }

    /** What a server is shown, for people. */
    String name() {
        if (token != null) {
            return "the token of " + token.name();
        }
        if (plugin != null) {
            return "what the exec plugin gave";
        }
        return fixed == null ? "no token" : "a user and a password";
    }

    /** Checked here, because the JDK would quote it in its complaint. */
    private static String bearer(String name, String token) throws IOException {
        String stripped = token.strip();
        if (stripped.isEmpty() || !stripped.chars().allMatch(c -> c > ' ' && c < 0x7F)) {
            throw new IOException(
                    name + (stripped.isEmpty() ? ": is empty" : ": is no token: it holds blanks or odd characters"));
        }
        return "Bearer " + stripped;
    }
}
