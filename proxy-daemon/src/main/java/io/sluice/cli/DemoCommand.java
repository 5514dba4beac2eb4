package io.sluice.cli;

import io.sluice.demo.Demo;
import io.sluice.demo.DemoScreen;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Option;

/** {@code sluice demo}: a self-contained demonstration. */
@Command(
        name = "demo",
        description = {
            "Demonstrates load balancing on this machine, without a cluster.",
            "",
            "Starts 6 sample servers, writes manifests for 3 Services in front of them, runs the daemon with these"
                    + " manifests, sends requests and checks the responses. Needs no privileges, and uses loopback"
                    + " addresses only."
        },
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  sluice demo            run until Ctrl-C, so that you can send requests from another terminal",
            "  sluice demo --once     run the checks and exit",
            "",
            "Set NO_COLOR to disable colors.",
            "Exit codes: 0 all checks passed, 1 a check failed."
        })
final class DemoCommand implements Callable<Integer> {
    @Option(names = "--once", description = "Exit after the last check instead of running until Ctrl-C.")
    private boolean once;

    @Override
    public Integer call() throws Exception {
        // System.out reports that the reader of the output has exited, as DemoScreen requires.
        DemoScreen screen = new DemoScreen(System.out, Ansi.AUTO.enabled());
        return new Demo(screen, once).run() ? 0 : Main.PROBLEMS;
    }
}
