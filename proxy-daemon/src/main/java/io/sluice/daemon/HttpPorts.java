package io.sluice.daemon;

import io.sluice.admin.AdminRoute;
import io.sluice.admin.AdminRoutes;
import io.sluice.config.Settings;
import io.sluice.http.HttpPort;
import io.sluice.http.HttpServer;
import io.sluice.http.Page;
import io.sluice.http.Request;
import io.sluice.http.Routes;
import io.sluice.model.HealthCheck;
import io.sluice.ops.HealthCheckPorts;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * HTTP ports of this process: health, metrics, the admin address and Unix socket, and the health check node ports of
 * Services.
 */
public final class HttpPorts {
    private static final Logger log = LoggerFactory.getLogger(HttpPorts.class);

    private static final FileAttribute<?> PRIVATE =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));

    private final HttpServer http;
    private final HealthCheckPorts healthChecks;
    private final @Nullable HttpPort healthz;
    private final @Nullable HttpPort metrics;
    private final @Nullable HttpPort admin;
    private final @Nullable HttpPort adminSocket;
    private final @Nullable Path socketDirectory;

    /** @param healthy whether health check node ports may report this node as healthy */
    HttpPorts(
            HttpServer http,
            Settings settings,
            Map<String, Function<Request, Page>> healthPages,
            Map<String, Function<Request, Page>> metricsPages,
            List<AdminRoute> adminRoutes,
            BooleanSupplier healthy) {
        this.http = http;
        healthChecks = new HealthCheckPorts(http, healthy, HttpPort.RETRY);
        healthz = port("health", settings.healthzBindAddress(), new Routes(healthPages));
        metrics = port("metrics", settings.metricsBindAddress(), new Routes(metricsPages));
        Settings.Admin wanted = settings.admin();
        admin = port("the admin API", wanted.bindAddress(), AdminRoutes.readOnly(adminRoutes, wanted.hostNames()));
        Path socket = wanted.socket();
        adminSocket = port(
                "the admin API",
                socket == null ? null : UnixDomainSocketAddress.of(socket),
                AdminRoutes.forSocket(adminRoutes));
        // No directory is created for another path, because it may be misspelled or on a file system not yet mounted.
        socketDirectory = socket != null && socket.equals(Settings.DEFAULT_ADMIN_SOCKET) ? socket.getParent() : null;
    }

    private @Nullable HttpPort port(String name, @Nullable SocketAddress address, Function<Request, Page> router) {
        return address == null ? null : new HttpPort(http, name, address, router);
    }

    private static List<HttpPort> present(@Nullable HttpPort... ports) {
        return Stream.of(ports).flatMap(Stream::ofNullable).toList();
    }

    /**
     * Opens all ports except the health check node ports.
     *
     * @param orFail whether to fail if the health or metrics port is in use, instead of retrying in the background
     * @throws IllegalStateException if {@code orFail} is set and such a port cannot be opened
     */
    void open(boolean orFail) {
        for (HttpPort port : present(healthz, metrics)) {
            if (orFail) {
                port.startOrFail();
            } else {
                port.start();
            }
        }
        createSocketDirectory();
        present(admin, adminSocket).forEach(HttpPort::start);
    }

    private void createSocketDirectory() {
        if (socketDirectory == null) {
            return;
        }
        try {
            Files.createDirectory(socketDirectory, PRIVATE);
        } catch (FileAlreadyExistsException e) {
            log.trace("'{}' exists", socketDirectory, e);
        } catch (IOException e) {
            // Opening the socket fails too, which is logged as a warning.
            log.debug("cannot create '{}'", socketDirectory, e);
        }
    }

    /**
     * Opens and closes health check node ports to match the given health checks.
     *
     * @param checks health checks by {@code namespace/name} of the Service
     */
    void apply(Map<String, HealthCheck> checks) {
        healthChecks.apply(checks);
    }

    /** Closes the ports that kube-proxy has by default, so that it can open them. */
    void closeHealthAndMetrics() {
        present(healthz, metrics).forEach(HttpPort::close);
    }

    /** Closes the health check node ports. */
    void closeHealthChecks() {
        healthChecks.close();
    }

    /** Closes all ports; requests in progress still get a response. */
    void close() {
        healthChecks.close();
        present(healthz, metrics, admin, adminSocket).forEach(HttpPort::close);
    }

    /** Closes all ports, all connections and the server. */
    void end() {
        close();
        http.close();
    }

    /** Returns the addresses on which the health check of a Service, given as {@code namespace/name}, is served. */
    List<InetSocketAddress> healthCheckAddresses(String service) {
        return healthChecks.addresses(service);
    }

    /** Returns the address of the health port; empty if the port is not open. */
    public Optional<InetSocketAddress> healthz() {
        return healthz == null ? Optional.empty() : healthz.address();
    }

    /** Returns the address of the metrics port; empty if the port is not open. */
    public Optional<InetSocketAddress> metrics() {
        return metrics == null ? Optional.empty() : metrics.address();
    }

    /** Returns the address of the read-only admin API; empty if the port is not open. */
    public Optional<InetSocketAddress> admin() {
        return admin == null ? Optional.empty() : admin.address();
    }
}
