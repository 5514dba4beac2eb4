package io.sluice.kube;

import io.sluice.model.Cidr;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/**
 * All objects, with the source each came from, and the services touched since last asked. Confined to one thread.
 *
 * <p>An object that several sources hold counts as the first of them, by name, has it; when that one lets go, the next
 * takes its place.
 */
final class ObjectStore {
    private final ProblemBoard problems;
    private final Map<String, Map<ObjectKey, KubeObject>> bySource = new HashMap<>();
    private final Map<ObjectKey, List<Held>> byKey = new HashMap<>();
    private final Map<ServiceKey, Map<String, EndpointsObject>> slices = new HashMap<>();
    private final Set<ServiceCidrObject> serviceCidrs = new LinkedHashSet<>();
    private boolean knowsNodes;
    private Set<ServiceKey> dirty = new LinkedHashSet<>();

    private record Held(String source, KubeObject object) {}

    ObjectStore(ProblemBoard problems) {
        this.problems = problems;
    }

    /**
     * What one source holds now, and what is wrong with it.
     *
     * @param objects null if they are those it held before
     */
    record SourceState(@Nullable List<KubeObject> objects, List<Problem> problems) {
        static final SourceState GONE = new SourceState(List.of(), List.of());

        SourceState {
            objects = objects == null ? null : List.copyOf(objects);
            problems = List.copyOf(problems);
        }

        /** This state and then a later one, as one. */
        SourceState then(SourceState later) {
            return later.objects == null ? new SourceState(objects, later.problems) : later;
        }
    }

    void replace(String source, SourceState state) {
        problems.put(source, state.problems());
        if (state.objects() == null) {
            return;
        }
        Map<ObjectKey, KubeObject> before = bySource.getOrDefault(source, Map.of());
        Map<ObjectKey, KubeObject> now = new LinkedHashMap<>();
        for (KubeObject object : state.objects()) {
            KubeObject old = before.get(object.key());
            // An equal object keeps its instance, and the new one is garbage at once.
            now.put(object.key(), object.equals(old) ? old : object);
        }
        before.forEach((key, old) -> {
            if (!now.containsKey(key)) {
                hold(key, source, null);
            }
        });
        now.forEach((key, object) -> {
            if (before.get(key) != object) {
                hold(key, source, object);
            }
        });
        if (now.isEmpty()) {
            bySource.remove(source);
        } else {
            bySource.put(source, now);
        }
    }

    private void hold(ObjectKey key, String source, @Nullable KubeObject object) {
        List<Held> before = byKey.getOrDefault(key, List.of());
        List<Held> now = new ArrayList<>(before);
        now.removeIf(held -> held.source().equals(source));
        if (object != null) {
            now.add(new Held(source, object));
            now.sort(Comparator.comparing(Held::source));
        }
        if (now.isEmpty()) {
            byKey.remove(key);
        } else {
            byKey.put(key, List.copyOf(now));
        }
        Held first = now.isEmpty() ? null : now.get(0);
        Held wasFirst = before.isEmpty() ? null : before.get(0);
        if (wasFirst != null && !wasFirst.equals(first)) {
            forget(wasFirst.object());
        }
        if (first != null && !first.equals(wasFirst)) {
            index(first.object());
        }
        if (now.size() > 1 || before.size() > 1) {
            problems.put(key, duplicates(now));
        }
    }

    private static List<Problem> duplicates(List<Held> held) {
        List<Problem> found = new ArrayList<>();
        for (Held later : held.subList(Math.min(1, held.size()), held.size())) {
            found.add(new Problem(
                    Problem.Severity.ERROR,
                    later.source(),
                    later.object().key().toString(),
                    "",
                    "also in " + held.get(0).source() + ", which comes first and counts"));
        }
        return found;
    }

    private void forget(KubeObject object) {
        touch(object);
        if (object instanceof EndpointsObject endpoints && object.key().kind() == Kind.ENDPOINT_SLICE) {
            Map<String, EndpointsObject> ofService = slices.get(endpoints.service());
            if (ofService != null) {
                ofService.remove(object.key().name());
                if (ofService.isEmpty()) {
                    slices.remove(endpoints.service());
                }
            }
        } else if (object instanceof ServiceCidrObject cidr) {
            serviceCidrs.remove(cidr);
        }
    }

    private void touch(KubeObject object) {
        ServiceKey service = object.service();
        if (service != null) {
            dirty.add(service);
        }
    }

    private void index(KubeObject object) {
        touch(object);
        if (object instanceof EndpointsObject endpoints && object.key().kind() == Kind.ENDPOINT_SLICE) {
            slices.computeIfAbsent(endpoints.service(), key -> new TreeMap<>())
                    .put(object.key().name(), endpoints);
        } else if (object instanceof ServiceCidrObject cidr) {
            serviceCidrs.add(cidr);
        } else if (object instanceof NodeObject) {
            knowsNodes = true;
        }
    }

    /** Tells every object that counts, with its source. */
    void forEach(BiConsumer<String, KubeObject> action) {
        byKey.values()
                .forEach(held -> action.accept(held.get(0).source(), held.get(0).object()));
    }

    /** The services whose objects were touched since the last call. */
    Set<ServiceKey> takeDirty() {
        Set<ServiceKey> taken = dirty;
        dirty = new LinkedHashSet<>();
        return taken;
    }

    @Nullable
    ServiceObject service(ServiceKey key) {
        Held held = first(Kind.SERVICE, key);
        return held == null ? null : (ServiceObject) held.object();
    }

    /** Where the Service was read; empty if there is none. */
    String sourceOf(ServiceKey key) {
        Held held = first(Kind.SERVICE, key);
        return held == null ? "" : held.source();
    }

    /** Every Service that counts. */
    Set<ServiceKey> services() {
        Set<ServiceKey> keys = new LinkedHashSet<>();
        byKey.keySet().forEach(key -> {
            if (key.kind() == Kind.SERVICE) {
                keys.add(new ServiceKey(key.namespace(), key.name()));
            }
        });
        return keys;
    }

    /** The Node of this name; null if there is none. */
    @Nullable
    NodeObject node(String name) {
        List<Held> held = byKey.get(new ObjectKey(Kind.NODE, "", name));
        return held == null ? null : (NodeObject) held.get(0).object();
    }

    /** Whether there was ever any Node: objects that know nothing of nodes say nothing about this one either. */
    boolean knowsNodes() {
        return knowsNodes;
    }

    /** All ranges of ServiceCIDR objects. */
    Set<Cidr> serviceCidrs() {
        Set<Cidr> cidrs = new LinkedHashSet<>();
        serviceCidrs.forEach(object -> cidrs.addAll(object.cidrs()));
        return cidrs;
    }

    /** The service's slices in the order of their names; only where there are none its legacy Endpoints. */
    Collection<EndpointsObject> endpoints(ServiceKey key) {
        Map<String, EndpointsObject> ofService = slices.get(key);
        if (ofService != null) {
            return ofService.values();
        }
        Held legacy = first(Kind.ENDPOINTS, key);
        return legacy == null ? List.of() : List.of((EndpointsObject) legacy.object());
    }

    private @Nullable Held first(Kind kind, ServiceKey key) {
        List<Held> held = byKey.get(new ObjectKey(kind, key.namespace(), key.name()));
        return held == null ? null : held.get(0);
    }
}
