package io.sluice.forward;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sluice.model.FrontendAddress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Starts HAProxy, nginx and a Go program as senders and receivers of PROXY headers. Receivers require a header and reply
 * to HTTP requests with the addresses and ports in it. Skips the test if a program is not installed.
 */
final class ProxyProtocolPeers {
    private static final Path NGINX_STREAM = Path.of("/usr/lib/nginx/modules/ngx_stream_module.so");
    private static final Path GO_SOURCES = Path.of("src/test/resources/proxyprotocol");
    private static final String GO_MODULE = "github.com/pires/go-proxyproto";
    /** Without cgo, a first build takes less time, because no C compiler runs. */
    private static final Map<String, String> GO_OFFLINE =
            Map.of("GOPROXY", "off", "GOTOOLCHAIN", "local", "CGO_ENABLED", "0");

    private final Lab lab;
    private final Path directory;

    /** @param directory for configuration and temporary files */
    ProxyProtocolPeers(Lab lab, Path directory) {
        this.lab = lab;
        this.directory = directory;
    }

    private static String text(FrontendAddress address) {
        return address.address().withPort(address.port());
    }

    private void start(FrontendAddress listening, List<String> command) throws IOException {
        lab.closing(PeerProgram.start(directory, listening, command));
    }

    /** @param options of the server, such as {@code send-proxy} */
    void haproxySends(FrontendAddress listening, FrontendAddress to, String options) throws IOException {
        haproxy(listening, """
                listen sender
                  bind %s
                  unique-id-format %%ci-%%cp
                  server sluice %s %s
                """.formatted(text(listening), text(to), options));
    }

    void haproxyReceives(FrontendAddress listening) throws IOException {
        haproxy(listening, """
                listen receiver
                  mode http
                  bind %s accept-proxy
                  http-request return status 200 content-type text/plain lf-string "%%[src] %%[src_port] %%[dst] %%[dst_port]"
                """.formatted(text(listening)));
    }

    private void haproxy(FrontendAddress listening, String section) throws IOException {
        String program = PeerProgram.find("haproxy").toString();
        Path configuration = Files.writeString(directory.resolve("haproxy.cfg"), """
                defaults
                  mode tcp
                  timeout connect 5s
                  timeout client 10s
                  timeout server 10s
                """ + section);
        start(listening, List.of(program, "-db", "-f", configuration.toString()));
    }

    void nginxSends(FrontendAddress listening, FrontendAddress to) throws IOException {
        PeerProgram.find("nginx");
        assumeTrue(Files.exists(NGINX_STREAM), "needs " + NGINX_STREAM);
        nginx(listening, """
                load_module %s;
                events {}
                stream {
                  server {
                    listen %s;
                    proxy_pass %s;
                    proxy_protocol on;
                    proxy_half_close on;
                  }
                }
                """.formatted(NGINX_STREAM, text(listening), text(to)));
    }

    void nginxReceives(FrontendAddress listening) throws IOException {
        nginx(listening, """
                events {}
                http {
                  access_log off;
                  client_body_temp_path body;
                  proxy_temp_path proxy;
                  fastcgi_temp_path fastcgi;
                  uwsgi_temp_path uwsgi;
                  scgi_temp_path scgi;
                  server {
                    listen %s proxy_protocol;
                    return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port";
                  }
                }
                """.formatted(text(listening)));
    }

    private void nginx(FrontendAddress listening, String sections) throws IOException {
        String program = PeerProgram.find("nginx").toString();
        Path configuration = Files.writeString(directory.resolve("nginx.conf"), """
                daemon off;
                master_process off;
                pid nginx.pid;
                error_log stderr;
                """ + sections);
        start(listening, List.of(program, "-e", "stderr", "-p", directory.toString(), "-c", configuration.toString()));
    }

    void goReceives(FrontendAddress listening) throws IOException {
        start(listening, List.of(goProgram(), "receive", text(listening)));
    }

    /** Sends a header and a few bytes; returns the response. */
    String goSends(FrontendAddress to, String version, String source, String destination) throws IOException {
        return PeerProgram.run(
                directory, Map.of(), List.of(goProgram(), "send", text(to), version, source, destination));
    }

    /** Compiles the Go program without access to the network. */
    private String goProgram() throws IOException {
        Path program = directory.resolve("peer");
        if (!Files.exists(program)) {
            String go = PeerProgram.find("go").toString();
            assumeTrue(
                    PeerProgram.succeeds(GO_SOURCES, GO_OFFLINE, List.of(go, "list", "-m", GO_MODULE)),
                    "needs the Go module " + GO_MODULE + "; run 'go mod download' in " + GO_SOURCES);
            PeerProgram.run(
                    GO_SOURCES, GO_OFFLINE, List.of(go, "build", "-buildvcs=false", "-o", program.toString(), "."));
        }
        return program.toString();
    }
}
