package io.sluice.cli;

import io.sluice.cli.AdminClient.Response;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow.Subscription;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Sends requests to a URL. The path of the URL is kept, so that it can point to a proxy in front of the daemon. */
final class UrlTransport implements AdminClient.Transport {
    private final String base;
    private final HttpClient client;

    /** @param url an http or https URL without query */
    UrlTransport(URI url) {
        base = url.toString().replaceAll("/+$", "");
        client = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .connectTimeout(AdminClient.TIMEOUT)
                .build();
    }

    @Override
    public String server() {
        return base;
    }

    @Override
    public Response send(String method, String pathAndQuery) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(base + pathAndQuery))
                .method(method, HttpRequest.BodyPublishers.noBody())
                .header("Accept", "application/json")
                .build();
        CompletableFuture<HttpResponse<String>> future = client.sendAsync(request, info -> new BoundedBody());
        try {
            HttpResponse<String> response = future.get(AdminClient.TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            return new Response(response.statusCode(), response.body());
        } catch (ExecutionException e) {
            throw new IOException(explain(e.getCause() == null ? e : e.getCause()), e);
        } catch (TimeoutException e) {
            throw new IOException("no complete response within " + AdminClient.TIMEOUT.toSeconds() + " s", e);
        } finally {
            // Also ends the request after a timeout or an interrupt; has no effect on a complete response.
            future.cancel(true);
        }
    }

    private static String explain(Throwable cause) {
        for (Throwable each = cause; each != null; each = each.getCause()) {
            if (each instanceof UnresolvedAddressException) {
                return "cannot resolve the host name; check --server";
            }
        }
        if (cause instanceof ConnectException) {
            // The JDK gives no message if the connection is refused.
            String reason = cause.getMessage() == null ? "connection refused" : cause.getMessage();
            return reason + "; check that Sluice is running and its --admin-bind-address, or set --admin-socket or"
                    + " --server";
        }
        return cause.getMessage() == null ? cause.toString() : cause.getMessage();
    }

    /** A body in memory. Fails when it exceeds the maximum size, which no body handler of JDK 17 does. */
    private static final class BoundedBody implements BodySubscriber<String> {
        private final CompletableFuture<String> result = new CompletableFuture<>();
        private final ByteArrayOutputStream received = new ByteArrayOutputStream();
        private @Nullable Subscription subscription;

        @Override
        public CompletionStage<String> getBody() {
            return result;
        }

        @Override
        public void onSubscribe(Subscription given) {
            subscription = given;
            given.request(Long.MAX_VALUE);
        }

        @Override
        public void onNext(List<ByteBuffer> buffers) {
            for (ByteBuffer buffer : buffers) {
                byte[] bytes = new byte[buffer.remaining()];
                buffer.get(bytes);
                received.writeBytes(bytes);
            }
            if (received.size() > AdminClient.MAX_RESPONSE_BYTES && subscription != null) {
                subscription.cancel();
                onError(new IOException("the response is larger than " + AdminClient.MAX_RESPONSE_BYTES + " bytes"));
            }
        }

        @Override
        public void onError(Throwable cause) {
            result.completeExceptionally(cause);
        }

        @Override
        public void onComplete() {
            result.complete(received.toString(StandardCharsets.UTF_8));
        }
    }

    /** Does nothing: the threads of the JDK's client end when the client is no longer used. */
    @Override
    public void close() {}
}
