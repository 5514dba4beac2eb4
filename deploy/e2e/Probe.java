import java.io.IOException;
import java.io.InputStream;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A client that measures what a change costs its users: {@code java Probe.java tcp|udp HOST:PORT HELD FILE}. It connects
 * 50 times a second, or sends 50 UDP queries from new ports, to agnhost's {@code netexec}, as long as FILE exists. It also
 * holds HELD connections open and sends a request on each of them ten times a second. At the end it prints one line:
 * attempts, failed attempts, the longest time in which every attempt failed, the slowest answer, and how many of the held
 * connections ended.
 */
final class Probe {
    private static final int TIMEOUT_MILLIS = 5_000;
    private static final byte[] REQUEST = "GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

    private record Attempt(long startNanos, long durationNanos, boolean succeeded) {}

    private final InetSocketAddress target;
    private final boolean udp;
    private final ConcurrentLinkedQueue<Attempt> attempts = new ConcurrentLinkedQueue<>();
    private final AtomicInteger heldEnded = new AtomicInteger();
    /** Failures by reason, which are printed to standard error. */
    private final ConcurrentHashMap<String, Integer> reasons = new ConcurrentHashMap<>();

    private Probe(InetSocketAddress target, boolean udp) {
        this.target = target;
        this.udp = udp;
    }

    public static void main(String[] arguments) throws Exception {
        int colon = arguments[1].lastIndexOf(':');
        var address = new InetSocketAddress(
                arguments[1].substring(0, colon), Integer.parseInt(arguments[1].substring(colon + 1)));
        int held = Integer.parseInt(arguments[2]);
        new Probe(address, arguments[0].equals("udp")).run(held, Path.of(arguments[3]));
    }

    private void run(int held, Path file) throws Exception {
        ExecutorService workers = Executors.newCachedThreadPool(Probe::daemonThread);
        for (int i = 0; i < held; i++) {
            workers.execute(this::hold);
        }
        ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(Probe::daemonThread);
        timer.scheduleAtFixedRate(() -> workers.execute(this::attempt), 0, 20, TimeUnit.MILLISECONDS);
        while (Files.exists(file)) {
            Thread.sleep(100);
        }
        timer.shutdown();
        workers.shutdown();
        // Held connections do not end by themselves.
        workers.awaitTermination(held > 0 ? 1 : 6, TimeUnit.SECONDS);
        print(held);
    }

    private static Thread daemonThread(Runnable task) {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    }

    private void attempt() {
        long start = System.nanoTime();
        boolean succeeded;
        try {
            succeeded = udp ? query() : connectOnce();
        } catch (IOException e) {
            succeeded = false;
            reasons.merge(String.valueOf(e.getMessage()), 1, Integer::sum);
        }
        attempts.add(new Attempt(start, System.nanoTime() - start, succeeded));
    }

    private boolean connectOnce() throws IOException {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(TIMEOUT_MILLIS);
            socket.connect(target, TIMEOUT_MILLIS);
            return request(socket);
        }
    }

    /** netexec answers each query with the name of its host. */
    private boolean query() throws IOException {
        try (DatagramSocket socket = new DatagramSocket()) {
            socket.setSoTimeout(2_000);
            socket.connect(target);
            byte[] query = "hostName".getBytes(StandardCharsets.US_ASCII);
            socket.send(new DatagramPacket(query, query.length));
            socket.receive(new DatagramPacket(new byte[512], 512));
            return true;
        }
    }

    private static boolean request(Socket socket) throws IOException {
        socket.getOutputStream().write(REQUEST);
        InputStream input = socket.getInputStream();
        byte[] response = new byte[4096];
        int read = input.read(response);
        return read > 0 && new String(response, 0, read, StandardCharsets.US_ASCII).startsWith("HTTP/1.1 200");
    }

    private void hold() {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(30_000);
            socket.connect(target, TIMEOUT_MILLIS);
            while (request(socket)) {
                Thread.sleep(100);
            }
            heldEnded.incrementAndGet();
            reasons.merge("held: end of stream", 1, Integer::sum);
        } catch (IOException e) {
            heldEnded.incrementAndGet();
            reasons.merge("held: " + e.getMessage(), 1, Integer::sum);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void print(int held) {
        List<Attempt> sorted = new ArrayList<>(attempts);
        sorted.sort((a, b) -> Long.compare(a.startNanos, b.startNanos));
        long gapNanos = 0;
        long slowestNanos = 0;
        int failed = 0;
        long firstFailureNanos = 0;
        boolean failing = false;
        for (Attempt attempt : sorted) {
            if (!attempt.succeeded) {
                failed++;
                firstFailureNanos = failing ? firstFailureNanos : attempt.startNanos;
                failing = true;
            } else {
                slowestNanos = Math.max(slowestNanos, attempt.durationNanos);
                failing = false;
            }
            gapNanos = failing ? Math.max(gapNanos, attempt.startNanos - firstFailureNanos + 20_000_000) : gapNanos;
        }
        System.err.println(target + ": " + reasons);
        System.out.println(String.format(
                Locale.ROOT,
                "%d | %d | %d ms | %d ms | %s",
                sorted.size(),
                failed,
                gapNanos / 1_000_000,
                slowestNanos / 1_000_000,
                held == 0 ? "–" : heldEnded + " of " + held));
    }
}
