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
 * The loads Debian has no program for, in the client's namespace. One process for all of them and all contestants, told
 * what to do line by line, so that it is as warm for the first contestant as for the last.
 */
final class Load {
    private static final byte[] REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

    private final List<SocketChannel> idle = new ArrayList<>();

    private Load() {}

    public static void main(String[] args) throws IOException {
        Load load = new Load();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = load.obey(line.split(" "));
            } catch (IOException | InterruptedException e) {
                answer = "failed: " + e;
            }
            System.out.println(answer);
        }
        System.exit(0);
    }

    private String obey(String[] words) throws IOException, InterruptedException {
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
                    // Sluice lets one client address have a quarter of the descriptors where they get scarce.
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
                new FixedRate(to, REQUEST, probe(to).length, Integer.parseInt(words[4]))
                        .run(Double.parseDouble(words[3]), Double.parseDouble(words[5]), Double.parseDouble(words[6]));
            case "queries" -> new UdpQueries(to, List.of(words[3].split(","))).fresh(Double.parseDouble(words[4]));
            case "flood" -> new UdpQueries(to, List.of(words[3].split(","))).flood(Double.parseDouble(words[4]));
            default -> "failed: what is " + words[0];
        };
    }

    /** One request; its whole answer. */
    private static byte[] probe(InetSocketAddress to) throws IOException {
        try (Socket socket = new Socket()) {
            socket.connect(to, 1_000);
            socket.setSoTimeout(500);
            socket.getOutputStream().write(REQUEST);
            byte[] bytes = new byte[4_096];
            int length = 0;
            // The body has no line feed in it, and is 128 bytes.
            while (true) {
                int n = socket.getInputStream().read(bytes, length, bytes.length - length);
                if (n < 0) {
                    throw new IOException("closed after " + length + " bytes");
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
