package io.sluice.cli;

import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code sluice completion}: prints a completion script for a shell. */
@Command(
        name = "completion",
        description = "Prints a script that completes commands and flags in a shell.",
        abbreviateSynopsis = true,
        parameterListHeading = "%nParameters:%n",
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  source <(sluice completion bash)",
            "  sluice completion bash > /etc/bash_completion.d/sluice",
            "  source <(sluice completion zsh)",
            "",
            "Exit codes: 0 success, 2 invalid command line."
        })
final class CompletionCommand implements Callable<Integer> {
    /** Supported shells. */
    enum Shell {
        bash,
        zsh
    }

    @Parameters(paramLabel = "SHELL", description = "bash or zsh.")
    @SuppressWarnings("NullAway.Init") // required
    private Shell shell;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before anything runs
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        if (shell == Shell.zsh) {
            // The script is for bash, so zsh must load its emulation of bash's completion first.
            out.println("autoload -U +X compinit && compinit");
            out.println("autoload -U +X bashcompinit && bashcompinit");
        }
        out.println(AutoComplete.bash("sluice", spec.root().commandLine()));
        out.flush();
        return 0;
    }
}
