package io.sluice.apiserver;

import java.io.IOException;
import java.time.Duration;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.exc.StreamConstraintsException;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.json.JsonMapper;

/**
 * Limits for data from API servers and exec plugins, far above what a Kubernetes API server sends: etcd stores objects of
 * at most 1.5 MiB. Files have limits of their own, because their author is the operator.
 */
final class ApiLimits {
    /** The fields of an object are nested about 20 deep, and managedFields repeats them. */
    static final int MAX_NESTING = 200;

    static final int MAX_STRING_CHARACTERS = 4 << 20;
    static final int MAX_KEY_CHARACTERS = 4 << 10;
    static final int MAX_NUMBER_CHARACTERS = 100;

    /** Of one object in a list, one event of a watch, or anything else in an answer. */
    static final int MAX_OBJECT_BYTES = 16 << 20;

    /** In one collection. */
    static final int MAX_OBJECTS = 1_000_000;

    /** Of one list: a server may send smaller pages than were asked for. */
    static final int MAX_PAGES = 20_000;

    /** Of a resource version or continue token, which become part of a URL. */
    static final int MAX_TOKEN_CHARACTERS = 8 << 10;

    /** Of an answer that is not what was asked for: a Status, or what a proxy says. */
    static final int MAX_ERROR_BYTES = 64 << 10;

    static final Duration ERROR_TIMEOUT = Duration.ofSeconds(10);

    static final int MAX_VERSION_BYTES = 64 << 10;
    static final int MAX_API_GROUPS_BYTES = 1 << 20;

    /** Of the list with the one object that an Event is about. */
    static final int MAX_SINGLE_LIST_BYTES = 4 << 20;

    /** Of all headers of an answer. */
    static final int MAX_HEADER_BYTES = 64 << 10;

    /** What an exec plugin prints, on each of its two outputs. */
    static final int MAX_PLUGIN_BYTES = 1 << 20;

    /** Reads JSON within these limits; those of a whole answer are those of its stream. */
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

    /** Something is larger than any API server sends it. */
    static final class ExceededException extends IOException {
        private static final long serialVersionUID = 1;

        ExceededException(String message) {
            super(message);
        }
    }

    /** Whether reading failed because of a limit: then the same answer would fail again. */
    static boolean isExceeded(Exception e) {
        return e instanceof ExceededException
                || e instanceof StreamConstraintsException
                || e.getCause() instanceof ExceededException;
    }
}
