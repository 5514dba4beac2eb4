package io.sluice.daemon;

import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Handles SIGTERM, SIGINT and SIGHUP. The first SIGTERM or SIGINT starts the graceful shutdown; the second one exits
 * immediately. With a controlling terminal, SIGHUP acts like SIGTERM; without one, it reloads the configuration.
 * Signals that were ignored when the process started, as under nohup, stay ignored.
 *
 * <p>A shutdown hook is not suitable: the JVM would exit with code 143 instead of 0, and ignore further signals while
 * the hooks run. {@code sun.misc.Signal} is called reflectively only because javac's warning about it cannot be
 * suppressed.
 */
public final class Signals {
    private static final Logger log = LoggerFactory.getLogger(Signals.class);

    private Signals() {}

    /**
     * Installs the handlers.
     *
     * @param onStop callback for the first signal that stops the process, given its name; called on a separate thread
     * @param reload action to run on a separate thread for each SIGHUP that reloads
     */
    public static void handle(Consumer<String> onStop, Runnable reload) {
        AtomicBoolean stopping = new AtomicBoolean();
        Consumer<Object> end = signal -> received(signal, onStop, stopping);
        handle("TERM", end);
        handle("INT", end);
        handle("HUP", hasTerminal() ? end : signal -> reload.run());
    }

    private static void handle(String name, Consumer<Object> action) {
        try {
            Class<?> signalClass = Class.forName("sun.misc.Signal");
            Class<?> handlerClass = Class.forName("sun.misc.SignalHandler");
            InvocationHandler handler = (proxy, method, args) -> switch (method.getName()) {
                case "handle" -> {
                    action.accept(args[0]);
                    yield null;
                }
                case "hashCode" -> System.identityHashCode(proxy);
                case "equals" -> proxy == args[0];
                default -> "handler of SIG" + name;
            };
            Object proxy =
                    Proxy.newProxyInstance(Signals.class.getClassLoader(), new Class<?>[] {handlerClass}, handler);
            Object signal = signalClass.getConstructor(String.class).newInstance(name);
            signalClass.getMethod("handle", signalClass, handlerClass).invoke(null, signal, proxy);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("this Java has no sun.misc.Signal (module jdk.unsupported)", e);
        }
    }

    /** Returns whether this process has a controlling terminal: the seventh field of {@code stat} in proc(5). */
    private static boolean hasTerminal() {
        try {
            String stat = Files.readString(Path.of("/proc/self/stat"));
            // The second field is a process name in parentheses, which may contain any character.
            String[] afterName = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return !afterName[4].equals("0");
        } catch (IOException e) {
            // Assume a terminal: stopping is also the default effect of SIGHUP.
            log.debug("cannot determine whether there is a controlling terminal", e);
            return true;
        }
    }

    /** May block on the first signal, because the JVM handles each signal on a new thread. */
    private static void received(Object signal, Consumer<String> onStop, AtomicBoolean stopping) {
        // toString() of a sun.misc.Signal returns its name with the prefix SIG; hashCode() returns its number.
        if (stopping.compareAndSet(false, true)) {
            onStop.accept(signal.toString());
        } else {
            Runtime.getRuntime().halt(128 + signal.hashCode());
        }
    }
}
