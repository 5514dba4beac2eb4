package io.sluice.compare;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A cgroup that all clients of a run are in, and a BPF file system for the pins of Sluice. Both are mounted in a
 * directory of the run, because {@code ip netns exec} hides those below {@code /sys}.
 */
record ClientCgroup(Path cgroup, Path pins) {
    private static final String PREFIX = "sluice-compare-";
    private static final String SUFFIX = "-mounts";
    private static final Pattern OWN_DIRECTORIES = Pattern.compile(PREFIX + "(\\d+)" + SUFFIX);
    private static final String CGROUP = "cgroup";
    private static final String BPF = "bpf";

    static ClientCgroup create(CommandRunner commands) throws IOException, InterruptedException {
        long pid = ProcessHandle.current().pid();
        Path directory = Files.createDirectory(temporary().resolve(PREFIX + pid + SUFFIX));
        Path root = Files.createDirectory(directory.resolve(CGROUP));
        Path bpf = Files.createDirectory(directory.resolve(BPF));
        commands.run("mount -t cgroup2 cgroup2 " + root);
        commands.run("mount -t bpf bpf " + bpf);
        return new ClientCgroup(Files.createDirectory(root.resolve(PREFIX + pid)), bpf.resolve("sluice"));
    }

    /** The command line that runs a command in the cgroup. */
    List<String> enter(List<String> command) {
        List<String> all = new ArrayList<>(
                List.of("sh", "-c", "echo 0 > " + cgroup.resolve("cgroup.procs") + " && exec \"$@\"", "sh"));
        all.addAll(command);
        return all;
    }

    /** Whether programs of Sluice are attached to the cgroup. */
    boolean isAttached() {
        return Files.exists(pins.resolve("links"));
    }

    /**
     * Removes the cgroups and mounts of this run and of runs whose process has ended. The processes in them must have
     * ended.
     */
    static void remove(CommandRunner commands) throws IOException, InterruptedException {
        try (DirectoryStream<Path> all = Files.newDirectoryStream(temporary(), PREFIX + "*" + SUFFIX)) {
            for (Path directory : all) {
                Matcher matcher =
                        OWN_DIRECTORIES.matcher(directory.getFileName().toString());
                if (matcher.matches() && (isOwn(matcher.group(1)) || !TestNetwork.isRunning(matcher.group(1)))) {
                    remove(commands, directory, matcher.group(1));
                }
            }
        }
    }

    private static boolean isOwn(String pid) {
        return pid.equals(String.valueOf(ProcessHandle.current().pid()));
    }

    private static void remove(CommandRunner commands, Path directory, String pid)
            throws IOException, InterruptedException {
        // Never recursively: the root of the mount contains the cgroups of this machine.
        Path root = directory.resolve(CGROUP);
        Path bpf = directory.resolve(BPF);
        unmount(commands, bpf);
        Files.deleteIfExists(root.resolve(PREFIX + pid));
        unmount(commands, root);
        Files.deleteIfExists(bpf);
        Files.deleteIfExists(root);
        Files.deleteIfExists(directory);
    }

    private static void unmount(CommandRunner commands, Path directory) throws IOException, InterruptedException {
        if (Files.exists(directory) && !Files.getFileStore(directory).equals(Files.getFileStore(temporary()))) {
            commands.run("umount " + directory);
        }
    }

    private static Path temporary() {
        return Path.of(System.getProperty("java.io.tmpdir"));
    }
}
