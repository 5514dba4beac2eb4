package io.sluice.cli;

import io.sluice.demo.Demo;
import io.sluice.demo.DemoScreen;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Option;

/** {@code sluice demo}: the whole thing, without a cluster. */
@Command(
        name = "demo",
        description = {
            "Shows Sluice at work, without a cluster.",
            "",
            "Starts six sample servers, writes manifests for three Services in front of them, runs the real daemon on"
                    + " those and shows what happens. Needs no privileges, and listens on loopback addresses only."
        },
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice demo            goes on until Ctrl-C, so that you can try it from another terminal",
            "  sluice demo --once     checks what it shows and ends",
            "",
            "Colours: only in a terminal, and not if NO_COLOR is set.",
            "Exit codes: 0 everything shown is so, 1 something is not."
        })
final class DemoCommand implements Callable<Integer> {
    @Option(names = "--once", description = "End after the last check instead of serving until Ctrl-C.")
    private boolean once;

    @Override
    public Integer call() throws Exception {
        // Not picocli's writer, which does not tell that nobody reads any more.
        DemoScreen screen = new DemoScreen(System.out, Ansi.AUTO.enabled());
        return new Demo(screen, once).run() ? 0 : Main.PROBLEMS;
    }
}
