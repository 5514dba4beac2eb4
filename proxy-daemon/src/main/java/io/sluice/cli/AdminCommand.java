package io.sluice.cli;

import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;

/** A command that reads from a running daemon. */
abstract class AdminCommand implements Callable<Integer> {
    /** The last paragraph of the help of these commands. */
    static final String EXIT_CODES =
            "Exit codes: 0 success, also if there is nothing to list, 1 Sluice cannot be reached or rejected the"
                    + " request, 2 invalid command line.";

    private static final Pattern SERVICE = Pattern.compile("[^/\\s:]+/[^/\\s:]+");
    private static final Pattern SERVICE_OR_PORT = Pattern.compile(SERVICE.pattern() + "(:[^/\\s:]+)?");

    @Mixin
    private AdminOptions admin = new AdminOptions();

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    @Override
    public final Integer call() throws Exception {
        validate();
        try (AdminClient client = client(admin)) {
            return run(client);
        } finally {
            out().flush();
        }
    }

    /** Reports invalid combinations of options as a {@link ParameterException}. */
    void validate() {}

    /** Creates the client; a command that changes something overrides this. */
    AdminClient client(AdminOptions options) {
        return options.reader(spec);
    }

    /** Whether the daemon is selected by a URL, so it may be on another machine. */
    boolean isRemote() {
        return admin.isUrl();
    }

    /** Runs the command and returns its exit code. */
    abstract int run(AdminClient client) throws CommandFailedException, InterruptedException;

    CommandSpec spec() {
        return spec;
    }

    Invocation invocation() {
        return Invocation.of(spec);
    }

    PrintWriter out() {
        return spec.commandLine().getOut();
    }

    /** Prints a message that is not part of the result. */
    void note(String message) {
        spec.commandLine().getErr().println("sluice: " + message);
    }

    void printJson(JsonNode json) {
        out().println(formatted(json));
    }

    static String formatted(JsonNode json) {
        return JsonMapper.builder()
                .enable(SerializationFeature.INDENT_OUTPUT)
                .build()
                .writeValueAsString(json);
    }

    static ArrayNode array(List<Item> items) {
        ArrayNode array = JsonNodeFactory.instance.arrayNode();
        items.stream().map(Item::json).forEach((JsonNode item) -> array.add(item));
        return array;
    }

    ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    void requireService(@Nullable String text) {
        if (text != null && !SERVICE.matcher(text).matches()) {
            throw usage("'" + text + "' is invalid; must be NAMESPACE/NAME, such as shop/web");
        }
    }

    void requireServiceOrPort(@Nullable String text) {
        if (text != null && !SERVICE_OR_PORT.matcher(text).matches()) {
            throw usage("'" + text + "' is invalid; must be NAMESPACE/NAME or NAMESPACE/NAME:PORT, such as"
                    + " shop/web:http");
        }
    }
}
