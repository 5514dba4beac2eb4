package io.sluice.apiserver;

import io.sluice.apiserver.KubernetesReflector.EndpointsApi;
import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.objects.Kind;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;

/** Lists the collections of an API server once, for commands that do not watch. Does not retry. */
final class OneTimeList implements WatchListener {
    private static final int PAGE_SIZE = 500;
    private static final int TIMEOUT_SECONDS = 60;
    private static final int BAD_REQUEST = 400;
    private static final int NOT_FOUND = 404;

    private final ServerStream stream;
    private final String proxyName;
    private final EndpointsApi endpointsApi;
    private final Map<String, SourceState> objects = new HashMap<>();

    private OneTimeList(ServerStream stream, String proxyName, EndpointsApi endpointsApi) {
        this.stream = stream;
        this.proxyName = proxyName;
        this.endpointsApi = endpointsApi;
    }

    /**
     * Lists all collections and returns their objects by path.
     *
     * @throws IOException if a required collection cannot be listed, or the lists take too long
     */
    static Map<String, SourceState> of(ApiClient client, BuildOptions options, EndpointsApi endpointsApi)
            throws IOException, InterruptedException {
        WatchTimeouts timeouts = WatchTimeouts.DEFAULT;
        SharedBackoff retry = new SharedBackoff(
                timeouts.initialBackOff(),
                timeouts.maxBackOff(),
                timeouts.resumeSpread(),
                System::nanoTime,
                new Random());
        ServerStream stream = new ServerStream(client, retry, timeouts);
        OneTimeList lists = new OneTimeList(stream, options.serviceProxyName(), endpointsApi);
        CompletableFuture<Map<String, SourceState>> all = Supervisor.call(
                "sluice-api-list", () -> lists.listAll(KubernetesReflector.resources(options, endpointsApi)));
        try {
            return all.get(TIMEOUT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw new IOException(
                    e.getCause() instanceof Exception cause ? ServerStream.explain(cause) : String.valueOf(e), e);
        } catch (TimeoutException e) {
            throw new IOException("the lists of the API server took longer than " + TIMEOUT_SECONDS + " s", e);
        } finally {
            stream.close();
            retry.close();
        }
    }

    private Map<String, SourceState> listAll(List<Resource> resources) throws IOException {
        for (Resource resource : resources) {
            list(resource);
        }
        return objects;
    }

    private void list(Resource resource) throws IOException {
        try {
            listPages(resource);
        } catch (ApiStatusException e) {
            Resource other = fallbackFor(resource, e.status());
            if (other != null) {
                list(other);
            } else if (resource.required() || ServerStream.isUnavailable(e.status())) {
                throw e;
            }
            // Otherwise the collection is missing or forbidden, and not needed.
        }
    }

    /** The collection to list instead of one that a server without newer features rejects; null if there is none. */
    private @Nullable Resource fallbackFor(Resource resource, int status) {
        if (status == BAD_REQUEST
                && resource.kind() == Kind.SERVICE
                && !resource.fields().isEmpty()) {
            return resource.withoutFields();
        }
        return status == NOT_FOUND && resource.kind() == Kind.ENDPOINT_SLICE && endpointsApi == EndpointsApi.AUTO
                ? Resource.endpoints()
                : null;
    }

    private void listPages(Resource resource) throws IOException {
        WatchedObjects.Listing listing =
                new WatchedObjects(proxyName, this, ApiLimits.MAX_OBJECTS, ApiLimits.MAX_PAGES).list(resource);
        String next = "limit=" + PAGE_SIZE + "&resourceVersion=0";
        while (!next.isEmpty()) {
            try (ApiResponse response = stream.get(resource, next, "list", true)) {
                listing.page(ApiLimits.JSON.createParser(response.body()), response::nextObject);
            } catch (JacksonException e) {
                throw new IOException(
                        stream.server() + ": list " + resource.name() + ": " + ServerStream.explain(e), e);
            } finally {
                stream.done();
            }
            String token = listing.continueToken();
            next = token.isEmpty() ? "" : "limit=" + PAGE_SIZE + "&continue=" + Resource.encoded(token);
        }
        listing.finish();
    }

    @Override
    public void changed(Map<String, SourceState> changes, List<Trigger> triggers) {
        objects.putAll(changes);
    }

    // The other methods are called by a watch only.

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
