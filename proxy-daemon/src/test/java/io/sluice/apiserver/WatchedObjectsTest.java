package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Limits of a collection that are too large to reach with a test server. */
final class WatchedObjectsTest implements WatchListener {
    private static final Resource SERVICES = Resource.services("");

    private final List<String> reported = new ArrayList<>();
    private final WatchedObjects objects = new WatchedObjects("", this, 2, 3);

    private static String object(String name) {
        return "{\"metadata\":{\"name\":\"" + name + "\",\"namespace\":\"x\"}}";
    }

    private static void page(WatchedObjects.Listing listing, String more, String... names) throws IOException {
        List<String> items = new ArrayList<>();
        for (String name : names) {
            items.add(object(name));
        }
        String page =
                "{\"metadata\":{\"resourceVersion\":\"1\",\"continue\":\"" + more + "\"},\"items\":" + items + "}";
        listing.page(ApiLimits.JSON.createParser(page), () -> {});
    }

    @Test
    void limitsTheNumberOfObjects() throws IOException {
        WatchedObjects.Listing listing = objects.list(SERVICES);
        page(listing, "", "a", "b", "a");
        listing.finish();
        assertThatThrownBy(() -> page(objects.list(SERVICES), "", "a", "c"))
                .isInstanceOf(IOException.class)
                .hasMessage("the collection has more than 2 objects");
        assertThatThrownBy(() -> objects.put(SERVICES, ApiLimits.JSON.readTree(object("c"))))
                .hasMessage("the collection has more than 2 objects");
        objects.delete(SERVICES, ApiLimits.JSON.readTree(object("a")));
        objects.put(SERVICES, ApiLimits.JSON.readTree(object("c")));
        assertThat(reported).anyMatch(path -> path.endsWith("/c"));
    }

    @Test
    void limitsTheNumberOfPages() throws IOException {
        WatchedObjects.Listing listing = objects.list(SERVICES);
        page(listing, "1");
        page(listing, "2");
        assertThatThrownBy(() -> page(listing, "3")).hasMessage("the list has more than 3 pages");
    }

    @Override
    public void changed(Map<String, SourceState> objects, List<Trigger> triggers) {
        reported.addAll(objects.keySet());
    }

    @Override
    public void listed(Resource resource) {}

    @Override
    public void unavailable(Resource resource) {}

    @Override
    public void trouble(Resource resource, String server, String trouble) {}

    @Override
    public @Nullable Resource fallbackFor(Resource resource) {
        return null;
    }
}
