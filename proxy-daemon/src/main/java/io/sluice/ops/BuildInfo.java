package io.sluice.ops;

/** Which Sluice this is. */
public final class BuildInfo {
    private BuildInfo() {}

    /** The version in the jar's manifest; {@code development} where it was not packaged. */
    public static String version() {
        String version = BuildInfo.class.getPackage().getImplementationVersion();
        return version == null ? "development" : version;
    }
}
