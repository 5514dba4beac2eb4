package io.sluice.admin;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * Opens every view of the status page at a base URL and checks what holds for any data: no error, no request to another
 * server, no horizontal scroll bar on a phone, headings, table headers and contrast. Writes a screenshot of each.
 */
public final class StatusPageViews {
    private static final Duration LOADING = Duration.ofSeconds(5);
    private static final Path SCREENSHOTS = Path.of("target/screenshots");

    private static final String LOADED =
            "document.querySelector('#view section, #view .count') !== null && document.querySelector('.alert') === null";

    /** Lists visible text whose contrast to its background is below 4.5, the limit of WCAG 2 level AA. */
    private static final String LOW_CONTRAST = """
            (() => {
              const channels = (color) => color.match(/[\\d.]+/g).map(Number);
              const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
              const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
              const background = (e) => {
                const color = getComputedStyle(e).backgroundColor;
                return channels(color)[3] === 0 ? background(e.parentElement) : channels(color);
              };
              return [...document.querySelectorAll('body *')]
                .filter((e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== ''))
                .filter((e) => e.getClientRects().length > 0 && !e.closest('.unseen, option'))
                .filter((e) => {
                  const [low, high] = [luminance(channels(getComputedStyle(e).color)), luminance(background(e))]
                    .sort((a, b) => a - b);
                  return (high + 0.05) / (low + 0.05) < 4.5;
                })
                .map((e) => e.textContent).join('; ');
            })()""";

    private final Browser browser;
    private final URI base;

    /**
     * Creates a check.
     *
     * @param base the URL of the page, which ends in a slash
     */
    public StatusPageViews(Browser browser, URI base) {
        this.browser = browser;
        this.base = base;
    }

    /** Opens a view by its fragment, such as {@code #/services}, and waits until it shows data. */
    public void open(String fragment) {
        browser.open(URI.create(base + fragment));
        browser.awaitTrue(LOADING, LOADED);
    }

    /**
     * Checks all views with a light and a dark color scheme, on a desktop and on a phone.
     *
     * @param service the Service whose view is opened, as NAMESPACE/NAME
     */
    public void checkAll(String service) throws IOException {
        List<String> fragments = List.of(
                "#/", "#/services", "#/services/" + service, "#/connections", "#/connections?protocol=udp", "#/events");
        browser.closePage();
        browser.takeRequests();
        for (String fragment : fragments) {
            browser.setViewport(1280, 900, false);
            open(fragment);
            check(fragment, "1280-light");
            browser.setViewport(1280, 900, true);
            check(fragment, "1280-dark");
            browser.setViewport(390, 844, true);
            check(fragment, "390-dark");
            browser.setViewport(390, 844, false);
            check(fragment, "390-light");
        }
        assertThat(browser.takeRequests()).isNotEmpty().allMatch(url -> url.startsWith(base.toString()));
    }

    private void check(String fragment, String variant) throws IOException {
        String name = fragment.replaceAll("[^a-z]+", "-").replaceAll("^-|-$", "");
        browser.screenshot(SCREENSHOTS.resolve((name.isEmpty() ? "overview" : name) + "-" + variant + ".png"));
        assertThat(browser.takeErrors()).as(fragment).isEmpty();
        assertThat(browser.isTrue("document.documentElement.scrollWidth <= innerWidth"))
                .as("%s %s fits the width", fragment, variant)
                .isTrue();
        assertThat(browser.evaluate(LOW_CONTRAST))
                .as("%s %s", fragment, variant)
                .isEmpty();
        assertThat(browser.isTrue("document.querySelectorAll('h1').length === 1"))
                .isTrue();
        assertThat(browser.isTrue("document.querySelectorAll('th:not([scope])').length === 0"))
                .isTrue();
    }
}
