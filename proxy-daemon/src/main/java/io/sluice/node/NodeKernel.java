package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.node.SetElements.Element;
import java.io.Closeable;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/**
 * Access to the kernel: nftables, policy routing, bridges and TCP sockets. Calls block, so they must not be made on
 * event loops. The message of an {@link IOException} is one line that says which operation failed and why.
 */
interface NodeKernel extends Closeable {
    /** Applies an nftables script in one transaction: if the kernel rejects any part of it, nothing changes. */
    void load(String script) throws IOException;

    /**
     * Checks that {@link #load} would accept a script, and changes nothing.
     *
     * @throws IOException if the kernel would reject it
     */
    void check(String script) throws IOException;

    /** Lists nftables objects, such as {@code chains}, in the JSON format of {@code nft}. */
    JsonNode list(String... what) throws IOException;

    /**
     * Returns the elements of a set or map in Sluice's table.
     *
     * @param kind {@code set} or {@code map}
     * @param name name of a set or map whose keys are concatenations
     */
    List<Element> elements(String kind, String name) throws IOException;

    /** Returns all routing rules of a family. */
    List<RoutingRule> rules(Family family) throws IOException;

    /**
     * Lists routes, in the JSON format of {@code ip}.
     *
     * @param which the arguments of {@code ip route show}, such as {@code table} and its number
     */
    List<JsonNode> routes(Family family, String... which) throws IOException;

    /** Returns the route that a packet with a mark takes to an address, in the format of {@code ip route get}. */
    String route(Family family, String address, String mark) throws IOException;

    /** Changes a routing rule or route. Takes the arguments of {@code ip}, such as {@code rule add ...}. */
    void changeRouting(Family family, String... change) throws IOException;

    /** Returns the names of the network interfaces that are bridges. */
    Set<String> bridges() throws IOException;

    /**
     * Returns whether connection tracking is active in this network namespace because the rules of some program need
     * it. It counts as active once it has tracked a packet.
     */
    boolean tracksConnections();

    /** Returns all TCP connections in this network namespace. */
    List<TcpConnection> connections() throws IOException;
}
