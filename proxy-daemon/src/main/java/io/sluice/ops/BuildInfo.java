package io.sluice.ops;

/** Version of this build. */
public final class BuildInfo {
    private BuildInfo() {}

    /** Returns the version from the jar's manifest, or {@code development} if the classes are not in a jar. */
    public static String version() {
        String version = BuildInfo.class.getPackage().getImplementationVersion();
        return version == null ? "development" : version;
    }
}
