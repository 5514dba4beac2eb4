package io.sluice.apiserver;

import java.io.IOException;
import java.time.Duration;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.exc.StreamConstraintsException;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.json.JsonMapper;

/**
 * Limits for data from API servers and exec plugins. They are far above what a Kubernetes API server sends: etcd stores
 * objects of at most 1.5 MiB. Manifests have separate limits.
 */
final class ApiLimits {
    /** Maximum nesting depth of JSON. Fields are nested about 20 levels deep, and managedFields repeats them. */
    static final int MAX_NESTING = 200;

    static final int MAX_STRING_CHARACTERS = 4 << 20;
    static final int MAX_KEY_CHARACTERS = 4 << 10;
    static final int MAX_NUMBER_CHARACTERS = 100;

    /** Maximum size of one object in a list, one event of a watch, or any other response body. */
    static final int MAX_OBJECT_BYTES = 16 << 20;

    /** Maximum number of objects in one collection. */
    static final int MAX_OBJECTS = 1_000_000;

    /** Maximum number of pages of one list. A server may send smaller pages than requested. */
    static final int MAX_PAGES = 20_000;

    /** Maximum length of a resourceVersion or continue token, which become part of a URL. */
    static final int MAX_TOKEN_CHARACTERS = 8 << 10;

    /** Maximum size of an error response: a Status object, or the response of a proxy. */
    static final int MAX_ERROR_BYTES = 64 << 10;

    static final Duration ERROR_TIMEOUT = Duration.ofSeconds(10);

    static final int MAX_VERSION_BYTES = 64 << 10;
    static final int MAX_API_GROUPS_BYTES = 1 << 20;

    /** Maximum size of a list response that contains only the object concerned by an Event. */
    static final int MAX_SINGLE_LIST_BYTES = 4 << 20;

    /** Maximum size of all headers of a response. */
    static final int MAX_HEADER_BYTES = 64 << 10;

    /** Maximum output of an exec plugin, for stdout and stderr separately. */
    static final int MAX_PLUGIN_BYTES = 1 << 20;

    /** JSON mapper that enforces these limits. {@link ApiResponse} limits the size of a response. */
    static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(MAX_NESTING)
                            .maxStringLength(MAX_STRING_CHARACTERS)
                            .maxNameLength(MAX_KEY_CHARACTERS)
                            .maxNumberLength(MAX_NUMBER_CHARACTERS)
                            .build())
                    .build())
            .build();

    private ApiLimits() {}

    /** Thrown if data exceeds one of these limits. */
    static final class ExceededException extends IOException {
        private static final long serialVersionUID = 1;

        ExceededException(String message) {
            super(message);
        }
    }

    /** Whether an exceeded limit caused the exception. If so, an immediate retry would fail again. */
    static boolean isExceeded(Exception e) {
        return e instanceof ExceededException
                || e instanceof StreamConstraintsException
                || e.getCause() instanceof ExceededException;
    }
}
