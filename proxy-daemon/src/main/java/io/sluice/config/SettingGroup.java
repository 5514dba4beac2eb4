package io.sluice.config;

import java.util.List;

/**
 * A group of settings under a heading of the help, in the order of the help. A group has the settings from its first one
 * to the first one of another group, in the order in which {@link Setting} defines them.
 */
public enum SettingGroup {
    SOURCE("Source of Services", Setting.FEED),
    NODE("Node and rules", Setting.NODE_NAME),
    SOCKET_LB("Socket-level load balancing", Setting.SOCKET_LB),
    FORWARDING("Forwarding", Setting.LOOPS),
    LIMITS("Limits", Setting.MAX_FLOWS),
    OPERATION("Health, metrics and admin", Setting.HEALTHZ_BIND_ADDRESS),
    LOGGING("Logging", Setting.LOG_FORMAT),
    HANDOVER("Handover and shutdown", Setting.HANDOVER_SOCKET);

    private final String heading;

    @SuppressWarnings("ImmutableEnumChecker") // settings do not change
    private final Setting<?> first;

    SettingGroup(String heading, Setting<?> first) {
        this.heading = heading;
        this.first = first;
    }

    /** The heading in the help. */
    public String heading() {
        return heading;
    }

    /** The group of a setting. */
    public static SettingGroup of(Setting<?> setting) {
        SettingGroup found = SOURCE;
        for (SettingGroup group : List.of(values())) {
            if (group.first.compareTo(setting) <= 0 && group.first.compareTo(found.first) >= 0) {
                found = group;
            }
        }
        return found;
    }
}
