package io.sluice.admin;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.admin.FakeServices.FakeEndpoint;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests the status page in a real browser. The page is served below a path prefix, as behind a proxy. */
@Tag("one-jdk")
final class StatusPageIT {
    private static final Duration TWO_SECONDS = Duration.ofSeconds(2);
    private static final Duration LIMIT = Duration.ofSeconds(5);
    private static final String BANNER = "document.querySelector('.alert') !== null";

    @TempDir
    private static Path profile;

    private static Browser browser;

    private FakeAdminApi api;
    private FakeServices services;
    private StatusPageViews views;

    @BeforeAll
    static void startBrowser() throws IOException {
        browser = Browser.start(profile);
    }

    @AfterAll
    static void stopBrowser() {
        if (browser != null) {
            browser.close();
        }
    }

    @BeforeEach
    void startApi() throws IOException {
        api = new FakeAdminApi("/api/v1/nodes/node-a/proxy/");
        services = api.services();
        views = new StatusPageViews(browser, api.base());
        addService("shop/web", "up", "up", "unknown");
        browser.setViewport(1280, 900, false);
    }

    @AfterEach
    void stopApi() {
        browser.closePage();
        api.close();
        assertThat(browser.takeErrors()).isEmpty();
    }

    /** Adds a Service with one endpoint in each state, at addresses 198.18.0.1, 198.18.0.2, ... */
    private void addService(String name, String... states) {
        services.put(
                name,
                IntStream.range(0, states.length)
                        .mapToObj(i -> new FakeEndpoint(name, "198.18.0." + (i + 1) + ":8080", states[i], ""))
                        .toArray(FakeEndpoint[]::new));
    }

    private void addServices(int count) {
        IntStream.range(0, count)
                .forEach(i -> addService("team-%d/backend-%04d".formatted(i % 7, i), i % 10 == 0 ? "unknown" : "up"));
    }

    private static String text(String selector) {
        return browser.evaluate("document.querySelector(\"" + selector + "\")?.innerText ?? ''");
    }

    @Test
    void allViewsAreAccessibleAndFitTheScreen() throws IOException {
        addServices(30);
        addService("shop/payments", "silent", "draining");
        addService("shop/legacy");
        services.setState("shop/web", "198.18.0.2:8080", "refusing", "connection refused");
        services.addEvent("change", "shop/web", "198.18.0.2:8080", "+1 endpoint 198.18.0.2:8080");
        views.checkAll("shop/web");
    }

    @Test
    void updatesEverySecond() {
        views.open("#/");
        browser.awaitTrue(LIMIT, "/^[1-9].*\\/s$/.test(document.querySelector('.tile .value').textContent)");
        addService("shop/new", "up");
        browser.awaitText(TWO_SECONDS, "4 endpoints of 2 Services");
    }

    @Test
    void showsFailingEndpointWithinTwoSeconds() {
        addServices(1000);
        views.open("#/");
        browser.awaitText(LIMIT, "No endpoint failed");
        services.setState("shop/web", "198.18.0.2:8080", "refusing", "connection refused");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('#failing-endpoints') !== null");
        assertThat(text("#failing-endpoints")).contains("refusing", "198.18.0.2:8080", "connection refused");
        assertThat(text("#failing-services")).contains("degraded", "shop/web", "1 refusing");
        assertThat(text("#failures")).contains("failure", "shop/web:http", "connection refused");
        assertThat(text("#health")).contains("1 endpoint failing");
        assertThat(text("#announcement")).isEqualTo("ready, 1 endpoint failing");

        services.setState("shop/web", "198.18.0.2:8080", "up", "");
        browser.awaitText(TWO_SECONDS, "No endpoint failed");
    }

    @Test
    void everyViewShowsFailingEndpoint() {
        views.open("#/services/shop/web");
        services.setState("shop/web", "198.18.0.1:8080", "silent", "connect timed out");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('#endpoints-0')?.innerText.includes('silent')");
        assertThat(text("#endpoints-0")).contains("connect timed out", "17 in a row");
        assertThat(text("#service-events")).contains("failure", "connect timed out");
        assertThat(text("#health")).contains("1 endpoint failing");
    }

    @Test
    void listsAndFiltersThousandServices() {
        addServices(1005);
        views.open("#/services");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('.count').textContent === '1,006 Services'");
        assertThat(Integer.parseInt(browser.evaluate("String(document.querySelectorAll('#services tr').length)")))
                .isLessThan(100);

        browser.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)");
        browser.awaitText(TWO_SECONDS, "backend-1000");
        browser.evaluate("window.scrollTo(0, 0)");

        browser.press("/");
        browser.type("backend-077");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('.count').textContent === '10 Services found'");
        assertThat(text("#services tbody tr:first-child")).contains("team-0/backend-0770", "unused");
        assertThat(browser.evaluate("location.hash")).isEqualTo("#/services?q=backend-077");

        select("state", "unused");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('.count').textContent === '1 Service found'");
    }

    /** An update that takes longer than the time to the next one would block the page. */
    @Test
    void rendersThousandServicesWithoutLongPauses() {
        addServices(1000);
        views.open("#/services");
        browser.evaluate("window.longTasks = []; new PerformanceObserver((list) => longTasks.push("
                + "...list.getEntries().map((e) => e.duration))).observe({type: 'longtask'})");
        long before = api.requests();
        browser.evaluate("window.scrollTo(0, 12000)");
        browser.awaitTrue(TWO_SECONDS, "document.elementFromPoint(640, 450).closest('tr:not(.spacer)') !== null");
        await().atMost(LIMIT).until(() -> api.requests() > before + 6);
        assertThat(Double.parseDouble(browser.evaluate("String(Math.max(0, ...longTasks))")))
                .isLessThan(1000);
    }

    @Test
    void sortsServices() {
        addService("a/idle");
        addService("b/broken", "refusing");
        views.open("#/services");
        assertThat(text("#services tbody tr:first-child")).contains("a/idle");
        browser.evaluate("document.querySelector('#services thead button').click()");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('#services tbody tr').innerText.includes('b/broken')");
        assertThat(browser.evaluate("document.querySelector('[aria-sort]').innerText"))
                .startsWith("State");
    }

    private static void select(String name, String value) {
        browser.evaluate("(() => { const select = document.querySelector('select[name=" + name + "]'); select.value = '"
                + value + "'; select.dispatchEvent(new Event('change')); })()");
    }

    @Test
    void showsMarkupAsText() {
        String markup = "<img src=x onerror=window.executed=1>";
        String script = "<script>window.executed=1</script>";
        services.put("shop/" + markup, new FakeEndpoint("shop/" + markup, "198.18.0.9:8080", "refusing", script));
        services.addEvent("failure", "shop/" + markup + ":http", "\"><b>198.18.0.9:8080", script);
        views.open("#/");
        assertShowsText("Overview", markup);
        browser.evaluate("location.hash = '#/events'");
        assertShowsText("Events", script);
        browser.evaluate("location.hash = '#/services?q=img'");
        assertShowsText("Services", markup);
        browser.evaluate("document.querySelector('#services tbody a').click()");
        assertShowsText("shop/" + markup, script);
    }

    private static void assertShowsText(String heading, String text) {
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('h1')?.textContent === '" + heading + "'");
        browser.awaitText(TWO_SECONDS, text);
        assertThat(browser.isTrue("document.querySelector('#view img, #view script, #view b b') === null"))
                .as(heading)
                .isTrue();
        assertThat(browser.isTrue("window.executed === undefined")).as(heading).isTrue();
    }

    @Test
    void isOperatedWithTheKeyboard() {
        addServices(300);
        views.open("#/");
        for (String[] view :
                new String[][] {{"s", "#/services"}, {"c", "#/connections"}, {"e", "#/events"}, {"o", "#/"}}) {
            browser.press("g");
            browser.press(view[0]);
            // The fragment changes before the view does, and a key belongs to the view that is shown.
            browser.awaitTrue(
                    TWO_SECONDS, "document.querySelector('#nav [aria-current=page]')?.hash === '" + view[1] + "'");
        }
        browser.press("/");
        browser.awaitTrue(TWO_SECONDS, "document.activeElement.name === 'q'");
        browser.type("team-3/");
        browser.awaitTrue(TWO_SECONDS, "document.querySelector('.count')?.textContent === '43 Services found'");
        browser.press("Enter");
        assertThat(focusedRow()).startsWith("team-3/backend-0003");
        browser.press("j");
        browser.press("ArrowDown");
        assertThat(focusedRow()).startsWith("team-3/backend-0017");
        browser.press("k");
        assertThat(focusedRow()).startsWith("team-3/backend-0010");
        long before = api.requests();
        await().atMost(LIMIT).until(() -> api.requests() > before + 4);
        assertThat(focusedRow()).as("after updates").startsWith("team-3/backend-0010");
        browser.press("Enter");
        browser.awaitText(TWO_SECONDS, "team-3/backend-0010");
        browser.awaitTrue(TWO_SECONDS, "location.hash === '#/services/team-3/backend-0010'");

        browser.press("?");
        assertThat(browser.isTrue("document.querySelector('dialog').open")).isTrue();
        browser.press("Escape");
        browser.awaitTrue(TWO_SECONDS, "!document.querySelector('dialog').open");
    }

    private static String focusedRow() {
        return browser.evaluate("document.activeElement.innerText");
    }

    @Test
    void marksValuesAsStaleWhileTheApiFails() {
        views.open("#/");
        browser.awaitTrue(LIMIT, "/\\/s$/.test(document.querySelector('.tile .value').textContent)");
        api.failWith(503);
        browser.awaitTrue(TWO_SECONDS, BANNER);
        assertThat(text(".alert")).contains("Connection lost since", "retrying", "too many requests", "(HTTP 503)");
        assertThat(text(".tile .value")).isEqualTo("–");
        assertThat(text("#health")).contains("not live").doesNotContain("ready");
        assertThat(text("#announcement")).contains("lost");
        api.failWith(0);
        browser.awaitTrue(TWO_SECONDS, "!(" + BANNER + ") && document.querySelector('.pulse.live') !== null");

        api.close();
        browser.awaitTrue(TWO_SECONDS, BANNER);
        assertThat(text(".alert")).contains("Sluice cannot be reached");
        assertOnlyNetworkErrors();
    }

    /** The console shows each failed request, even if the page handles it. */
    private static void assertOnlyNetworkErrors() {
        browser.closePage();
        assertThat(browser.takeErrors()).isNotEmpty().allMatch(error -> error.contains("\"source\":\"network\""));
    }

    @Test
    void marksValuesAsStaleWhileTheApiDoesNotRespond() {
        views.open("#/services");
        api.pause();
        browser.awaitTrue(LIMIT, BANNER + " && document.body.classList.contains('stale')");
        assertThat(text(".alert")).contains("Sluice does not respond");
        api.resume();
        browser.awaitTrue(LIMIT, "!(" + BANNER + ")");
    }

    @Test
    void pausesWhileHidden() {
        views.open("#/");
        browser.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.hidden}); window.hidden = true;"
                + "document.dispatchEvent(new Event('visibilitychange'))");
        // A request that was sent before may still arrive.
        AtomicLong last = new AtomicLong(-1);
        await().during(Duration.ofMillis(2200))
                .atMost(LIMIT)
                .until(() -> last.getAndSet(api.requests()) == api.requests());
        long before = api.requests();
        browser.evaluate("window.hidden = false; document.dispatchEvent(new Event('visibilitychange'))");
        await().atMost(TWO_SECONDS).until(() -> api.requests() > before);
    }

    @Test
    void showsMessageOfTheApi() {
        browser.open(URI.create(api.base() + "#/services/shop/missing"));
        browser.awaitText(LIMIT, "no Service shop/missing (HTTP 404)");
        assertThat(browser.isTrue(BANNER)).isFalse();
        assertOnlyNetworkErrors();
    }

    @Test
    void remembersTheColorScheme() {
        views.open("#/");
        String background = "getComputedStyle(document.body).backgroundColor";
        String light = browser.evaluate(background);
        browser.evaluate("document.querySelector('#theme').click()");
        assertThat(browser.evaluate(background)).isEqualTo(light);
        browser.evaluate("document.querySelector('#theme').click()");
        String dark = browser.evaluate(background);
        assertThat(dark).isNotEqualTo(light);
        views.open("#/services");
        assertThat(browser.evaluate(background)).isEqualTo(dark);
        browser.evaluate("localStorage.clear()");
    }
}
