package io.sluice.compare;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Generates the loads for which Debian has no program, in the client's namespace. Reads a command per line from
 * standard input. One process serves all loads and contestants, so that it is equally warm for each contestant.
 */
final class LoadGenerator {
    private static final byte[] REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

    private final List<SocketChannel> idle = new ArrayList<>();

    private LoadGenerator() {}

    public static void main(String[] args) throws IOException {
        LoadGenerator load = new LoadGenerator();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = load.execute(line.split(" "));
            } catch (IOException | InterruptedException e) {
                answer = "failed: " + e;
            }
            System.out.println(answer);
        }
        System.exit(0);
    }

    private String execute(String[] words) throws IOException, InterruptedException {
        InetSocketAddress to = words.length > 2
                ? new InetSocketAddress(words[1], Integer.parseInt(words[2]))
                : new InetSocketAddress(0);
        return switch (words[0]) {
            case "probe" -> "ok " + probe(to).length;
            case "idle" -> {
                String[] from = words[4].split(",");
                for (int i = 0; i < Integer.parseInt(words[3]); i++) {
                    SocketChannel channel = SocketChannel.open();
                    idle.add(channel);
                    // Several client addresses, because --max-client-share limits the descriptors of each.
                    channel.bind(new InetSocketAddress(from[i % from.length], 0));
                    channel.connect(to);
                }
                yield "ok " + idle.size();
            }
            case "close" -> {
                for (SocketChannel channel : idle) {
                    channel.close();
                }
                idle.clear();
                yield "ok";
            }
            case "rate" ->
                new FixedRateLoad(to, REQUEST, probe(to).length, Integer.parseInt(words[4]))
                        .run(Double.parseDouble(words[3]), Double.parseDouble(words[5]), Double.parseDouble(words[6]));
            case "queries" ->
                new UdpQueries(to, List.of(words[3].split(","))).queryFromNewPorts(Double.parseDouble(words[4]));
            case "flood" -> new UdpQueries(to, List.of(words[3].split(","))).flood(Double.parseDouble(words[4]));
            default -> "failed: unknown command " + words[0];
        };
    }

    /** Sends one request and returns the whole response. */
    private static byte[] probe(InetSocketAddress to) throws IOException {
        try (Socket socket = new Socket()) {
            socket.connect(to, 1_000);
            socket.setSoTimeout(500);
            socket.getOutputStream().write(REQUEST);
            byte[] bytes = new byte[4_096];
            int length = 0;
            // The body has 128 bytes.
            while (true) {
                int n = socket.getInputStream().read(bytes, length, bytes.length - length);
                if (n < 0) {
                    throw new IOException("connection closed after " + length + " bytes");
                }
                length += n;
                String text = new String(bytes, 0, length, StandardCharsets.US_ASCII);
                int head = text.indexOf("\r\n\r\n");
                if (head >= 0 && length >= head + 4 + 128) {
                    return java.util.Arrays.copyOf(bytes, length);
                }
            }
        }
    }
}
