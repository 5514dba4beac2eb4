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
 * SIGTERM and SIGINT: the first one starts the orderly end, the second one ends the process at once. SIGHUP does the same
 * where it says that the terminal has gone, and is a request to reload elsewhere. What was ignored at the start, as under
 * nohup, stays ignored.
 *
 * <p>A shutdown hook would not do: the JVM would end with 143 instead of 0, and once hooks run it ignores further
 * signals. {@code sun.misc.Signal} has been the way since Java 1.2; it is called reflectively only because javac warns
 * about its name in a way that cannot be suppressed.
 */
public final class Signals {
    private static final Logger log = LoggerFactory.getLogger(Signals.class);

    private Signals() {}

    /**
     * Handles them from now on.
     *
     * @param first is told the name of the first signal that ends the process, on a thread of its own
     * @param reload run for each request to reload, on a thread of its own
     */
    public static void handle(Consumer<String> first, Runnable reload) {
        AtomicBoolean stopping = new AtomicBoolean();
        Consumer<Object> end = signal -> received(signal, first, stopping);
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

    /** Whether this process has a controlling terminal, by the seventh field of proc(5)'s {@code stat}. */
    private static boolean hasTerminal() {
        try {
            String stat = Files.readString(Path.of("/proc/self/stat"));
            // The second field is a name in parentheses, which may hold anything.
            String[] afterName = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return !afterName[4].equals("0");
        } catch (IOException e) {
            // As on a system without one: to end is the signal's usual meaning.
            log.debug("whether there is a terminal is not known", e);
            return true;
        }
    }

    /** The JVM gives each signal a thread of its own, so the first may take its time. */
    private static void received(Object signal, Consumer<String> first, AtomicBoolean stopping) {
        // sun.misc.Signal's text is its name with SIG before it; its hash code is its number.
        if (stopping.compareAndSet(false, true)) {
            first.accept(signal.toString());
        } else {
            Runtime.getRuntime().halt(128 + signal.hashCode());
        }
    }
}
