package io.sluice.daemon;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * SIGTERM, SIGINT and SIGHUP (which stays ignored under nohup): the first one starts the orderly end, the second one ends the process at once.
 *
 * <p>A shutdown hook would not do: the JVM would end with 143 instead of 0, and once hooks run it ignores further
 * signals. {@code sun.misc.Signal} has been the way since Java 1.2; it is called reflectively only because javac warns
 * about its name in a way that cannot be suppressed.
 */
final class Signals {
    private Signals() {}

    /** @param first is told the signal's name, on a thread of its own */
    static void onTermination(Consumer<String> first) {
        AtomicBoolean stopping = new AtomicBoolean();
        try {
            Class<?> signalClass = Class.forName("sun.misc.Signal");
            Class<?> handlerClass = Class.forName("sun.misc.SignalHandler");
            InvocationHandler handler = (proxy, method, args) -> switch (method.getName()) {
                case "handle" -> {
                    received(args[0], first, stopping);
                    yield null;
                }
                case "hashCode" -> System.identityHashCode(proxy);
                case "equals" -> proxy == args[0];
                default -> "handler of termination signals";
            };
            Object proxy =
                    Proxy.newProxyInstance(Signals.class.getClassLoader(), new Class<?>[] {handlerClass}, handler);
            for (String name : new String[] {"TERM", "INT", "HUP"}) {
                Object signal = signalClass.getConstructor(String.class).newInstance(name);
                signalClass.getMethod("handle", signalClass, handlerClass).invoke(null, signal, proxy);
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("this Java has no sun.misc.Signal (module jdk.unsupported)", e);
        }
    }

    /** The JVM gives each signal a thread of its own, so the first may take its time. */
    private static void received(Object signal, Consumer<String> first, AtomicBoolean stopping)
            throws ReflectiveOperationException {
        String name = "SIG" + signal.getClass().getMethod("getName").invoke(signal);
        if (stopping.compareAndSet(false, true)) {
            first.accept(name);
        } else {
            int number = (Integer) signal.getClass().getMethod("getNumber").invoke(signal);
            Runtime.getRuntime().halt(128 + number);
        }
    }
}
