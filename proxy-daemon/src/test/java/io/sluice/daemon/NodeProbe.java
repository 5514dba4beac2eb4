package io.sluice.daemon;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.ConnectException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A program that runs in a network namespace, executes commands from standard input, one per line, and prints one line
 * in response to each. It runs on the class path of the tests alone, without other libraries.
 *
 * <p>Servers:
 *
 * <ul>
 *   <li>{@code serve ADDRESS PORT}: over TCP and UDP, sends the name of the namespace and the address of the client
 *   <li>{@code listen ADDRESS PORT}: the same over TCP only
 *   <li>{@code headers ADDRESS PORT}: the same as {@code serve}, followed by the client's address in the PROXY protocol
 *       header of version 2 that each connection and each datagram must begin with
 *   <li>{@code echo ADDRESS PORT}: sends back what clients send, over TCP and UDP
 *   <li>{@code healthz ADDRESS PORT}: a health port that returns 200
 *   <li>{@code slow ADDRESS PORT}: echoes one byte to each client, with a backlog of 5 and a pause between clients
 * </ul>
 *
 * <p>Clients:
 *
 * <ul>
 *   <li>{@code ask tcp|udp FROM|- ADDRESS PORT BYTES [TIMEOUT-MILLIS]}: returns the response of {@code serve}, DROP,
 *       REFUSED or RESET; {@code ask again} uses the same UDP socket each time, {@code ask health} returns the status
 *       code of a health check, and {@code ask tcp:CLIENT} sends a PROXY protocol header with this client first
 *   <li>{@code keep ADDRESS PORT}: echoes a byte on a connection that stays open until {@code release}
 *   <li>{@code fetch ADDRESS PORT BYTES}: returns how many of the bytes were echoed over TCP
 *   <li>{@code volley ADDRESS PORT BYTES}: returns how many of five datagrams were echoed
 *   <li>{@code post ADDRESS PORT BYTES}: sends the bytes and FIN, and leaves the response unread until {@code collect},
 *       which returns its length
 *   <li>{@code crowd ADDRESS PORT CONNECTIONS CONCURRENT}: returns how many connections got a byte back
 *   <li>{@code pour ADDRESS PORT BYTES}: sends to an echo server without reading until {@code drain}, which returns the
 *       number of echoed bytes
 *   <li>{@code metric ADDRESS PORT NAME}: returns the sum of a metric over all labels
 * </ul>
 */
final class NodeProbe {
    private static final int TIMEOUT_MILLIS = 500;
    /** The connect deadline of Sluice. */
    private static final int CONNECT_MILLIS = 10_000;
    /** Time limit for a response, with retransmissions, on an established connection. */
    private static final int ANSWER_MILLIS = 60_000;
    /** The pause of a slow server between two connections. */
    private static final int PAUSE_MILLIS = 2;

    private static final int PIECE_BYTES = 1 << 16;
    /** The part of a PROXY protocol header before the addresses. */
    private static final int HEADER_BYTES = 16;

    private static final Map<InetSocketAddress, DatagramSocket> SOCKETS = new HashMap<>();
    private static final Map<String, Socket> KEPT = new HashMap<>();
    private static final Socket POSTED = new Socket();
    private static final Socket POURED = new Socket();

    private NodeProbe() {}

    public static void main(String[] args) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            System.out.println(
                    switch (words[0]) {
                        case "serve" -> serve(args[0], InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
                        case "listen" -> listen(args[0], InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
                        case "healthz" -> healthz(InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
                        case "headers" -> headers(args[0], InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
                        case "echo" -> echo(InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
                        case "fetch" -> fetch(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
                        case "volley" -> volley(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
                        case "post" -> post(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
                        case "collect" -> collect();
                        case "pour" -> pour(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
                        case "drain" -> drain();
                        case "slow" -> slow(InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
                        case "crowd" -> crowd(words);
                        case "metric" -> metric(words[1], Integer.parseInt(words[2]), words[3]);
                        case "release" -> release();
                        case "keep" -> keep(words[1], Integer.parseInt(words[2]));
                        default -> ask(words);
                    });
        }
    }

    /** A server's response to one connection or datagram. */
    private interface Response<T, R> {
        R to(T request) throws IOException;
    }

    private static String listen(String name, InetAddress address, int port) throws IOException {
        return listen(name, address, port, client -> peerSeenBy(name, client.getInetAddress()));
    }

    private static String listen(String name, InetAddress address, int port, Response<Socket, String> response)
            throws IOException {
        ServerSocket tcp = new ServerSocket(port, 50, address);
        start(() -> {
            while (!tcp.isClosed()) {
                try (Socket client = tcp.accept()) {
                    client.getOutputStream().write(response.to(client).getBytes(StandardCharsets.UTF_8));
                } catch (IOException e) {
                    System.err.println(name + ": " + e);
                }
            }
        });
        return "ok";
    }

    private static String healthz(InetAddress address, int port) throws IOException {
        return listen("healthz", address, port, client -> {
            BufferedReader request =
                    new BufferedReader(new InputStreamReader(client.getInputStream(), StandardCharsets.US_ASCII));
            for (String line = request.readLine(); line != null && !line.isEmpty(); ) {
                line = request.readLine();
            }
            return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        });
    }

    private static String pour(String address, int port, int bytes) throws IOException {
        POURED.setReceiveBufferSize(4_096);
        POURED.connect(new InetSocketAddress(InetAddress.getByName(address), port), CONNECT_MILLIS);
        start(() -> {
            try {
                for (int sent = 0; sent < bytes; sent += PIECE_BYTES) {
                    POURED.getOutputStream().write(new byte[PIECE_BYTES]);
                }
                POURED.shutdownOutput();
            } catch (IOException e) {
                System.err.println("pour: " + e);
            }
        });
        return "ok";
    }

    private static String drain() {
        long bytes = 0;
        try (POURED) {
            POURED.setSoTimeout(ANSWER_MILLIS);
            byte[] some = new byte[PIECE_BYTES];
            for (int read = 0; read >= 0; read = POURED.getInputStream().read(some)) {
                bytes += read;
            }
            return String.valueOf(bytes);
        } catch (IOException e) {
            return bytes + " " + e;
        }
    }

    private static String slow(InetAddress address, int port) throws IOException {
        ServerSocket server = new ServerSocket(port, 5, address);
        ScheduledFuture<?> accepting = Executors.newSingleThreadScheduledExecutor(NodeProbe::daemon)
                .scheduleWithFixedDelay(
                        () -> {
                            try (Socket client = server.accept()) {
                                client.setSoTimeout(TIMEOUT_MILLIS);
                                client.getOutputStream()
                                        .write(client.getInputStream().read());
                            } catch (IOException e) {
                                System.err.println("slow: " + e);
                            }
                        },
                        0,
                        PAUSE_MILLIS,
                        TimeUnit.MILLISECONDS);
        return accepting.isDone() ? "ended" : "ok";
    }

    private static String crowd(String[] words) throws IOException {
        InetSocketAddress to = new InetSocketAddress(InetAddress.getByName(words[1]), Integer.parseInt(words[2]));
        ExecutorService clients = Executors.newFixedThreadPool(Integer.parseInt(words[4]), NodeProbe::daemon);
        AtomicInteger answered = new AtomicInteger();
        for (int i = 0; i < Integer.parseInt(words[3]); i++) {
            clients.execute(() -> {
                try (Socket socket = new Socket()) {
                    socket.setSoTimeout(ANSWER_MILLIS);
                    socket.connect(to, CONNECT_MILLIS);
                    socket.getOutputStream().write('x');
                    answered.addAndGet(socket.getInputStream().read() == 'x' ? 1 : 0);
                } catch (IOException e) {
                    System.err.println("crowd: " + e);
                }
            });
        }
        clients.shutdown();
        try {
            clients.awaitTermination(4, TimeUnit.MINUTES);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return answered.toString();
    }

    /** @param metric name and, after a colon, the value of the label {@code reason}, if the metric has it */
    private static String metric(String address, int port, String metric) throws IOException {
        String[] name = metric.split(":", 2);
        String reason = name.length == 1 ? "" : "reason=\"" + name[1] + "\"";
        URI metrics = URI.create("http://" + address + ":" + port + "/metrics");
        try (InputStream page = metrics.toURL().openStream()) {
            double sum = new String(page.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> line.startsWith(name[0] + "{") && line.contains(reason))
                    .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' '))))
                    .sum();
            return String.valueOf((long) sum);
        }
    }

    private static String serve(String name, InetAddress address, int port) throws IOException {
        listen(name, address, port);
        answer(address, port, question -> {
            byte[] answer = (peerSeenBy(name, question.getAddress()) + " " + question.getLength())
                    .getBytes(StandardCharsets.UTF_8);
            return new DatagramPacket(answer, answer.length, question.getSocketAddress());
        });
        return "ok";
    }

    private static String headers(String name, InetAddress address, int port) throws IOException {
        listen(name, address, port, client -> {
            client.setSoTimeout(ANSWER_MILLIS);
            byte[] fixed = client.getInputStream().readNBytes(HEADER_BYTES);
            byte[] rest = client.getInputStream().readNBytes(fixed.length < HEADER_BYTES ? 0 : fixed[15]);
            return peerSeenBy(name, client.getInetAddress()) + " " + clientIn(fixed, rest);
        });
        answer(address, port, question -> {
            byte[] fixed = Arrays.copyOf(question.getData(), HEADER_BYTES);
            int end = HEADER_BYTES + fixed[15];
            String client = clientIn(fixed, Arrays.copyOfRange(question.getData(), HEADER_BYTES, end));
            byte[] answer = (peerSeenBy(name, question.getAddress()) + " " + client + " "
                            + (question.getLength() - end))
                    .getBytes(StandardCharsets.UTF_8);
            return new DatagramPacket(answer, answer.length, question.getSocketAddress());
        });
        return "ok";
    }

    /** The client's address in a PROXY protocol header of version 2. */
    private static String clientIn(byte[] fixed, byte[] addresses) throws IOException {
        if (fixed.length < HEADER_BYTES || fixed[12] != 0x21) {
            return "no header";
        }
        int length = fixed[13] >> 4 == 1 ? 4 : 16;
        return InetAddress.getByAddress(Arrays.copyOf(addresses, length)).getHostAddress();
    }

    private static void answer(InetAddress address, int port, Response<DatagramPacket, DatagramPacket> answer)
            throws IOException {
        DatagramSocket udp = new DatagramSocket(port, address);
        start(() -> {
            DatagramPacket packet = new DatagramPacket(new byte[65_536], 65_536);
            while (!udp.isClosed()) {
                try {
                    packet.setLength(65_536);
                    udp.receive(packet);
                    udp.send(answer.to(packet));
                } catch (IOException e) {
                    System.err.println("udp " + address + ": " + e);
                }
            }
        });
    }

    private static String echo(InetAddress address, int port) throws IOException {
        ServerSocket server = new ServerSocket(port, 50, address);
        start(() -> {
            while (!server.isClosed()) {
                try {
                    Socket client = server.accept();
                    start(() -> echoBack(client));
                } catch (IOException e) {
                    System.err.println("echo: " + e);
                }
            }
        });
        answer(address, port, question -> question);
        return "ok";
    }

    private static String volley(String address, int port, int bytes) throws IOException {
        int lost = 0;
        try (DatagramSocket socket = socket(null, new InetSocketAddress(InetAddress.getByName(address), port))) {
            for (int i = 0; i < 5; i++) {
                socket.send(new DatagramPacket(new byte[bytes], bytes));
                DatagramPacket answer = new DatagramPacket(new byte[bytes], bytes);
                try {
                    socket.receive(answer);
                    lost += answer.getLength() == bytes ? 0 : 1;
                } catch (SocketTimeoutException e) {
                    lost++;
                }
            }
        }
        return String.valueOf(5 - lost);
    }

    private static String post(String address, int port, int bytes) throws IOException {
        POSTED.setReceiveBufferSize(4_096);
        POSTED.setSoTimeout(CONNECT_MILLIS);
        POSTED.connect(new InetSocketAddress(InetAddress.getByName(address), port), CONNECT_MILLIS);
        POSTED.getOutputStream().write(new byte[bytes]);
        POSTED.shutdownOutput();
        return "ok";
    }

    private static String collect() throws IOException {
        int bytes = 0;
        try (POSTED) {
            byte[] some = new byte[8_192];
            for (int read = POSTED.getInputStream().read(some);
                    read >= 0;
                    read = POSTED.getInputStream().read(some)) {
                bytes += read;
            }
            return String.valueOf(bytes);
        } catch (IOException e) {
            return bytes + " " + e;
        }
    }

    private static void echoBack(Socket client) {
        try (client) {
            client.getInputStream().transferTo(client.getOutputStream());
        } catch (IOException e) {
            System.err.println("echo: " + e);
        }
    }

    private static String keep(String address, int port) {
        try {
            Socket socket = KEPT.get(address);
            if (socket == null) {
                socket = new Socket();
                socket.setSoTimeout(TIMEOUT_MILLIS);
                socket.connect(new InetSocketAddress(InetAddress.getByName(address), port), TIMEOUT_MILLIS);
                KEPT.put(address, socket);
            }
            socket.getOutputStream().write('x');
            return socket.getInputStream().read() == 'x' ? "ok" : "ended";
        } catch (SocketTimeoutException e) {
            return "DROP";
        } catch (ConnectException e) {
            return "REFUSED";
        } catch (IOException e) {
            return e.toString();
        }
    }

    private static String fetch(String address, int port, int bytes) throws IOException {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(CONNECT_MILLIS);
            socket.connect(new InetSocketAddress(InetAddress.getByName(address), port), CONNECT_MILLIS);
            socket.getOutputStream().write(new byte[bytes]);
            socket.shutdownOutput();
            return String.valueOf(socket.getInputStream().readAllBytes().length);
        } catch (IOException e) {
            return e.toString();
        }
    }

    private static String release() throws IOException {
        for (Socket socket : KEPT.values()) {
            socket.close();
        }
        KEPT.clear();
        return "ok";
    }

    private static void start(Runnable task) {
        daemon(task).start();
    }

    private static Thread daemon(Runnable task) {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    }

    private static String peerSeenBy(String name, InetAddress peer) {
        return name + " " + peer.getHostAddress();
    }

    private static String ask(String[] words) throws IOException {
        InetSocketAddress to = new InetSocketAddress(InetAddress.getByName(words[3]), Integer.parseInt(words[4]));
        InetAddress from = words[2].equals("-") ? null : InetAddress.getByName(words[2]);
        int bytes = Integer.parseInt(words[5]);
        int timeoutMillis = words.length > 6 ? Integer.parseInt(words[6]) : TIMEOUT_MILLIS;
        try {
            String[] protocol = words[1].split(":", 2);
            return switch (protocol[0]) {
                case "tcp" -> tcp(from, to, protocol.length == 1 ? "" : header(protocol[1]), timeoutMillis);
                case "health" -> health(from, to, timeoutMillis);
                case "again" -> again(from, to, bytes, timeoutMillis);
                default -> udp(from, to, bytes, timeoutMillis);
            };
        } catch (SocketTimeoutException e) {
            return "DROP";
        } catch (ConnectException | PortUnreachableException e) {
            return "REFUSED";
        } catch (IOException e) {
            return String.valueOf(e.getMessage()).contains("reset") ? "RESET" : e.toString();
        }
    }

    private static String header(String client) {
        return "PROXY " + (client.contains(":") ? "TCP6 " : "TCP4 ") + client + " " + client + " 1000 80\r\n";
    }

    private static String tcp(@Nullable InetAddress from, InetSocketAddress to, String header, int timeoutMillis)
            throws IOException {
        try (Socket socket = new Socket()) {
            socket.bind(new InetSocketAddress(from, 0));
            socket.setSoTimeout(timeoutMillis);
            socket.connect(to, timeoutMillis);
            socket.getOutputStream().write(header.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static String health(@Nullable InetAddress from, InetSocketAddress to, int timeoutMillis)
            throws IOException {
        try (Socket socket = new Socket()) {
            socket.bind(new InetSocketAddress(from, 0));
            socket.setSoTimeout(timeoutMillis);
            socket.connect(to, timeoutMillis);
            socket.getOutputStream().write("GET /healthz HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.UTF_8));
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return answer.replaceFirst("(?s)^HTTP/1.. (\\d+).*", "$1");
        }
    }

    private static String udp(@Nullable InetAddress from, InetSocketAddress to, int bytes, int timeoutMillis)
            throws IOException {
        try (DatagramSocket socket = socket(from, to)) {
            socket.setSoTimeout(timeoutMillis);
            return exchange(socket, bytes);
        }
    }

    private static String again(@Nullable InetAddress from, InetSocketAddress to, int bytes, int timeoutMillis)
            throws IOException {
        DatagramSocket socket = SOCKETS.get(to);
        if (socket == null) {
            socket = socket(from, to);
            SOCKETS.put(to, socket);
        }
        socket.setSoTimeout(timeoutMillis);
        return exchange(socket, bytes);
    }

    private static DatagramSocket socket(@Nullable InetAddress from, InetSocketAddress to) throws IOException {
        DatagramSocket socket = new DatagramSocket(new InetSocketAddress(from, 0));
        socket.setSoTimeout(TIMEOUT_MILLIS);
        socket.connect(to);
        return socket;
    }

    private static String exchange(DatagramSocket socket, int bytes) throws IOException {
        try {
            socket.send(new DatagramPacket(new byte[bytes], bytes));
        } catch (IOException e) {
            // A rule in the output hook stopped the datagram. Whether it was rejected or dropped shows when receiving.
            if (!String.valueOf(e.getMessage()).contains("not permitted")) {
                throw e;
            }
        }
        DatagramPacket answer = new DatagramPacket(new byte[2_000], 2_000);
        socket.receive(answer);
        String text = new String(Arrays.copyOf(answer.getData(), answer.getLength()), StandardCharsets.UTF_8);
        String size = " " + bytes;
        return text.endsWith(size) ? text.substring(0, text.length() - size.length()) : "cut: " + text;
    }
}
