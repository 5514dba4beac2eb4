package io.sluice.admin;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * One tab of a headless Chromium, driven through the DevTools protocol. Records the requests of the tab and everything
 * that its console would show as an error.
 */
public final class Browser implements AutoCloseable {
    private static final Path PROGRAM = Path.of("/usr/bin/chromium");
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    private static final JsonMapper JSON = new JsonMapper();

    private final Process process;
    private final WebSocket socket;
    private final AtomicInteger lastId = new AtomicInteger();
    private final Map<Integer, CompletableFuture<JsonNode>> results = new ConcurrentHashMap<>();
    private final List<String> errors = new CopyOnWriteArrayList<>();
    private final List<String> requests = new CopyOnWriteArrayList<>();
    private final AtomicReference<@Nullable String> session = new AtomicReference<>();

    private Browser(Process process, URI address) {
        this.process = process;
        socket = HttpClient.newHttpClient()
                .newWebSocketBuilder()
                .buildAsync(address, new Messages())
                .orTimeout(TIMEOUT.toSeconds(), TimeUnit.SECONDS)
                .join();
    }

    /**
     * Starts Chromium with an empty tab. Skips the test if Chromium is not installed.
     *
     * @param profile an empty directory
     */
    public static Browser start(Path profile) throws IOException {
        assumeTrue(Files.isExecutable(PROGRAM), "needs " + PROGRAM);
        Process process = new ProcessBuilder(
                        PROGRAM.toString(),
                        "--headless=new",
                        "--no-sandbox",
                        "--disable-gpu",
                        "--disable-quic",
                        "--no-first-run",
                        "--disable-background-networking",
                        "--disable-component-update",
                        "--disable-sync",
                        "--user-data-dir=" + profile,
                        "--remote-debugging-port=0",
                        "about:blank")
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            Browser browser = new Browser(process, address(process, profile));
            browser.attach();
            return browser;
        } catch (RuntimeException | Error e) {
            stop(process);
            throw e;
        }
    }

    /** Chromium writes its port and the path of its web socket to a file, in two lines. */
    private static URI address(Process process, Path profile) {
        Path file = profile.resolve("DevToolsActivePort");
        List<String> lines = new ArrayList<>();
        await().atMost(TIMEOUT).pollInterval(Duration.ofMillis(20)).until(() -> {
            assertThat(process.isAlive()).as("Chromium runs").isTrue();
            lines.clear();
            if (Files.exists(file)) {
                lines.addAll(Files.readAllLines(file));
            }
            return lines.size() == 2;
        });
        return URI.create("ws://127.0.0.1:" + lines.get(0) + lines.get(1));
    }

    private void attach() {
        String target = send("Target.createTarget", Map.of("url", "about:blank"))
                .path("targetId")
                .asString();
        session.set(send("Target.attachToTarget", Map.of("targetId", target, "flatten", true))
                .path("sessionId")
                .asString());
        for (String domain : List.of("Page", "Runtime", "Log", "Network")) {
            send(domain + ".enable", Map.of());
        }
    }

    /** Collects the fragments of messages. Confined to one thread at a time by the client. */
    private final class Messages implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();

        @Override
        public @Nullable CompletionStage<?> onText(WebSocket from, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                received(JSON.readTree(text.toString()));
                text.setLength(0);
            }
            from.request(1);
            return null;
        }
    }

    private void received(JsonNode message) {
        CompletableFuture<JsonNode> result = results.remove(message.path("id").asInt(0));
        if (result != null) {
            if (message.has("error")) {
                result.completeExceptionally(
                        new IllegalStateException(message.path("error").toString()));
            } else {
                result.complete(message.path("result"));
            }
            return;
        }
        JsonNode event = message.path("params");
        switch (message.path("method").asString("")) {
            case "Runtime.exceptionThrown" ->
                errors.add(event.path("exceptionDetails").toString());
            case "Runtime.consoleAPICalled" -> {
                if (List.of("error", "assert").contains(event.path("type").asString())) {
                    errors.add(event.path("args").toString());
                }
            }
            case "Log.entryAdded" -> {
                if (event.path("entry").path("level").asString().equals("error")) {
                    errors.add(event.path("entry").toString());
                }
            }
            case "Network.requestWillBeSent" -> {
                String url = event.path("request").path("url").asString();
                if (!url.startsWith("data:") && !url.startsWith("about:")) {
                    requests.add(url);
                }
            }
            default -> {}
        }
    }

    private JsonNode send(String method, Map<String, ?> parameters) {
        int id = lastId.incrementAndGet();
        CompletableFuture<JsonNode> result = new CompletableFuture<>();
        results.put(id, result);
        String tab = session.get();
        Map<String, Object> message = tab == null
                ? Map.of("id", id, "method", method, "params", parameters)
                : Map.of("id", id, "method", method, "params", parameters, "sessionId", tab);
        socket.sendText(JSON.writeValueAsString(message), true).join();
        return result.orTimeout(TIMEOUT.toSeconds(), TimeUnit.SECONDS).join();
    }

    /** Opens a URL in a new document; a URL that differs only in the fragment is loaded again. */
    public void open(URI url) {
        closePage();
        send("Page.navigate", Map.of("url", url.toString()));
        await().atMost(TIMEOUT)
                .pollInterval(Duration.ofMillis(20))
                .until(() -> evaluate("location.href + document.readyState").equals(url + "complete"));
    }

    /** Replaces the page by an empty one, which sends no requests. */
    public void closePage() {
        send("Page.navigate", Map.of("url", "about:blank"));
        awaitTrue(TIMEOUT, "location.href === 'about:blank'");
    }

    /** Returns the value of a JavaScript expression as a string. */
    public String evaluate(String expression) {
        JsonNode response = send("Runtime.evaluate", Map.of("expression", expression, "returnByValue", true));
        if (response.has("exceptionDetails")) {
            throw new IllegalStateException(
                    expression + ": " + response.path("exceptionDetails").toString());
        }
        return response.path("result").path("value").asString("");
    }

    /** Whether a JavaScript expression is true. */
    public boolean isTrue(String expression) {
        return evaluate("String(" + expression + ")").equals("true");
    }

    /** Waits until the page contains a text. */
    public void awaitText(Duration atMost, String text) {
        awaitTrue(atMost, "document.body.innerText.includes(" + JSON.writeValueAsString(text) + ")");
    }

    /** Waits until a JavaScript expression is true. */
    public void awaitTrue(Duration atMost, String expression) {
        await(expression)
                .atMost(atMost)
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(20))
                .until(() -> isTrue(expression));
    }

    private static final Map<String, Integer> KEY_CODES = Map.of("Enter", 13, "Escape", 27, "ArrowDown", 40);

    /** Presses and releases a key: a character, Enter, Escape or ArrowDown. */
    public void press(String key) {
        Map<String, Object> down = new HashMap<>(Map.of("type", "keyDown", "key", key));
        if (key.length() == 1) {
            down.put("text", key);
        } else {
            down.put("code", key);
            down.put("windowsVirtualKeyCode", KEY_CODES.get(key));
        }
        if (key.equals("Enter")) {
            down.put("text", "\r");
        }
        send("Input.dispatchKeyEvent", down);
        send("Input.dispatchKeyEvent", Map.of("type", "keyUp", "key", key));
    }

    /** Types text into the element that has the focus. */
    public void type(String text) {
        send("Input.insertText", Map.of("text", text));
    }

    /** Sets the size of the page in pixels and the color scheme that it is asked to use. */
    public void setViewport(int width, int height, boolean dark) {
        send(
                "Emulation.setDeviceMetricsOverride",
                Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", width < 600));
        send(
                "Emulation.setEmulatedMedia",
                Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", dark ? "dark" : "light"))));
    }

    /** Writes an image of the visible part of the page. */
    public void screenshot(Path file) throws IOException {
        Files.createDirectories(file.toAbsolutePath().getParent());
        String data = send("Page.captureScreenshot", Map.of("format", "png"))
                .path("data")
                .asString();
        Files.write(file, Base64.getDecoder().decode(data));
    }

    /** Returns and clears the console errors so far, including violations of the Content Security Policy. */
    public List<String> takeErrors() {
        List<String> taken = List.copyOf(errors);
        errors.removeAll(taken);
        return taken;
    }

    /** Returns and clears the URLs of all requests so far. */
    public List<String> takeRequests() {
        List<String> taken = List.copyOf(requests);
        requests.removeAll(taken);
        return taken;
    }

    @Override
    public void close() {
        socket.abort();
        stop(process);
    }

    private static void stop(Process process) {
        List<ProcessHandle> children = process.descendants().toList();
        process.destroy();
        try {
            if (!process.waitFor(5, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        // The children may still write to the profile, which the caller deletes.
        children.forEach(ProcessHandle::destroyForcibly);
        children.forEach(child ->
                child.onExit().orTimeout(TIMEOUT.toSeconds(), TimeUnit.SECONDS).join());
    }
}
