package io.sluice.rules;

import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.objects.EndpointsObject;
import io.sluice.objects.Kind;
import io.sluice.objects.KubeObject;
import io.sluice.objects.NodeObject;
import io.sluice.objects.ObjectKey;
import io.sluice.objects.ServiceCidrObject;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/**
 * All objects of the feed with the source of each, and the Services whose objects have changed. Confined to one thread.
 *
 * <p>If several sources define the same object, the definition in the source that sorts first by name applies. When
 * that source removes the object, the definition in the next source applies.
 */
public final class ObjectStore {
    private final ProblemTracker problems;
    private final Map<String, List<KubeObject>> bySource = new HashMap<>();
    /** For each object, the definition that applies. */
    private final Map<ObjectKey, SourcedObject> byKey = new HashMap<>();
    /** All definitions of the few objects that several sources define, sorted by source. */
    private final Map<ObjectKey, List<SourcedObject>> duplicated = new HashMap<>();
    /** The slices of each Service, sorted by name. Nearly every Service has one slice, so copying a list is cheap. */
    private final Map<ServiceKey, List<EndpointsObject>> slices = new HashMap<>();

    private final Set<ServiceCidrObject> serviceCidrs = new LinkedHashSet<>();
    private boolean hasSeenNodes;
    private Set<ServiceKey> dirty = new LinkedHashSet<>();

    private record SourcedObject(String source, KubeObject object) {}

    public ObjectStore(ProblemTracker problems) {
        this.problems = problems;
    }

    /**
     * The objects of one source, and the problems found while reading them.
     *
     * @param partial whether the list may be incomplete; if so, previous objects that are not in the list are kept
     */
    public record SourceState(List<KubeObject> objects, List<Problem> problems, boolean partial) {
        /** State of a source that has been removed. */
        public static final SourceState GONE = new SourceState(List.of(), List.of());

        public SourceState {
            objects = List.copyOf(objects);
            problems = List.copyOf(problems);
        }

        public SourceState(List<KubeObject> objects, List<Problem> problems) {
            this(objects, problems, false);
        }

        /** Combines this state with a later one of the same source. */
        public SourceState then(SourceState later) {
            if (!later.partial) {
                return later;
            }
            Map<ObjectKey, KubeObject> all = new LinkedHashMap<>();
            objects.forEach(object -> all.put(object.key(), object));
            later.objects.forEach(object -> all.put(object.key(), object));
            return new SourceState(List.copyOf(all.values()), later.problems, partial);
        }
    }

    /** Replaces the objects and problems of one source. */
    public void replace(String source, SourceState state) {
        problems.put(source, state.problems());
        Map<ObjectKey, KubeObject> before = new HashMap<>();
        bySource.getOrDefault(source, List.of()).forEach(object -> before.put(object.key(), object));
        Map<ObjectKey, KubeObject> now = new LinkedHashMap<>(state.partial() ? before : Map.of());
        for (KubeObject object : state.objects()) {
            KubeObject old = before.get(object.key());
            // Keep the instance of an equal object, so that the new one can be garbage collected.
            now.put(object.key(), object.equals(old) ? old : object);
        }
        before.forEach((key, old) -> {
            if (!now.containsKey(key)) {
                define(key, source, null);
            }
        });
        now.forEach((key, object) -> {
            if (before.get(key) != object) {
                define(key, source, object);
            }
        });
        if (now.isEmpty()) {
            bySource.remove(source);
        } else {
            bySource.put(source, List.copyOf(now.values()));
        }
    }

    /** Sets the definition of an object in one source; null removes it. */
    private void define(ObjectKey key, String source, @Nullable KubeObject object) {
        SourcedObject wasFirst = byKey.get(key);
        List<SourcedObject> before = duplicated.getOrDefault(key, wasFirst == null ? List.of() : List.of(wasFirst));
        List<SourcedObject> now = new ArrayList<>(before);
        now.removeIf(sourced -> sourced.source().equals(source));
        if (object != null) {
            now.add(new SourcedObject(source, object));
            now.sort(Comparator.comparing(SourcedObject::source));
        }
        SourcedObject first = now.isEmpty() ? null : now.get(0);
        if (first == null) {
            byKey.remove(key);
        } else {
            byKey.put(key, first);
        }
        if (now.size() > 1) {
            duplicated.put(key, List.copyOf(now));
        } else {
            duplicated.remove(key);
        }
        if (wasFirst != null && !wasFirst.equals(first)) {
            removeFromIndex(wasFirst.object());
        }
        if (first != null && !first.equals(wasFirst)) {
            index(first.object());
        }
        if (now.size() > 1 || before.size() > 1) {
            problems.put(key, duplicates(now));
        }
    }

    private static List<Problem> duplicates(List<SourcedObject> definitions) {
        List<Problem> found = new ArrayList<>();
        for (SourcedObject later : definitions.subList(Math.min(1, definitions.size()), definitions.size())) {
            found.add(new Problem(
                    Problem.Severity.ERROR,
                    later.source(),
                    later.object().key().toString(),
                    "",
                    "also defined in " + definitions.get(0).source()
                            + ", which sorts first by name; this definition is ignored"));
        }
        return found;
    }

    private void removeFromIndex(KubeObject object) {
        markDirty(object);
        if (object instanceof EndpointsObject endpoints && object.key().kind() == Kind.ENDPOINT_SLICE) {
            slices.computeIfPresent(endpoints.service(), (service, ofService) -> {
                List<EndpointsObject> others = without(ofService, endpoints.key());
                return others.isEmpty() ? null : List.copyOf(others);
            });
        } else if (object instanceof ServiceCidrObject cidr) {
            serviceCidrs.remove(cidr);
        }
    }

    private static List<EndpointsObject> without(List<EndpointsObject> slices, ObjectKey key) {
        List<EndpointsObject> others = new ArrayList<>(slices);
        others.removeIf(slice -> slice.key().equals(key));
        return others;
    }

    private void markDirty(KubeObject object) {
        ServiceKey service = object.service();
        if (service != null) {
            dirty.add(service);
        }
    }

    private void index(KubeObject object) {
        markDirty(object);
        if (object instanceof EndpointsObject endpoints && object.key().kind() == Kind.ENDPOINT_SLICE) {
            slices.merge(endpoints.service(), List.of(endpoints), (ofService, one) -> {
                List<EndpointsObject> all = without(ofService, endpoints.key());
                all.add(endpoints);
                all.sort(Comparator.comparing(slice -> slice.key().name()));
                return List.copyOf(all);
            });
        } else if (object instanceof ServiceCidrObject cidr) {
            serviceCidrs.add(cidr);
        } else if (object instanceof NodeObject) {
            hasSeenNodes = true;
        }
    }

    /** Calls the action with each object (the definition that applies) and its source. */
    void forEach(BiConsumer<String, KubeObject> action) {
        byKey.values().forEach(sourced -> action.accept(sourced.source(), sourced.object()));
    }

    /** Returns the Services whose objects have changed since the last call. */
    public Set<ServiceKey> takeDirty() {
        Set<ServiceKey> taken = dirty;
        dirty = new LinkedHashSet<>();
        return taken;
    }

    @Nullable
    ServiceObject service(ServiceKey key) {
        SourcedObject sourced = first(Kind.SERVICE, key);
        return sourced == null ? null : (ServiceObject) sourced.object();
    }

    /** The source of a Service; empty if the Service does not exist. */
    String sourceOf(ServiceKey key) {
        SourcedObject sourced = first(Kind.SERVICE, key);
        return sourced == null ? "" : sourced.source();
    }

    /** The keys of all Services. */
    Set<ServiceKey> services() {
        Set<ServiceKey> keys = new LinkedHashSet<>();
        byKey.keySet().forEach(key -> {
            if (key.kind() == Kind.SERVICE) {
                keys.add(new ServiceKey(key.namespace(), key.name()));
            }
        });
        return keys;
    }

    /** The Node with this name; null if there is none. */
    @Nullable
    public NodeObject node(String name) {
        SourcedObject sourced = byKey.get(new ObjectKey(Kind.NODE, "", name));
        return sourced == null ? null : (NodeObject) sourced.object();
    }

    /**
     * Whether any Node has ever been seen. If not, the feed contains no Nodes, so a missing Node is not significant.
     */
    boolean hasSeenNodes() {
        return hasSeenNodes;
    }

    /** The ranges of all ServiceCIDR objects. */
    public Set<Cidr> serviceCidrs() {
        Set<Cidr> cidrs = new LinkedHashSet<>();
        serviceCidrs.forEach(object -> cidrs.addAll(object.cidrs()));
        return cidrs;
    }

    /** The slices of a Service, sorted by name; its legacy Endpoints object only if it has no slice. */
    Collection<EndpointsObject> endpoints(ServiceKey key) {
        List<EndpointsObject> ofService = slices.get(key);
        if (ofService != null) {
            return ofService;
        }
        SourcedObject legacy = first(Kind.ENDPOINTS, key);
        return legacy == null ? List.of() : List.of((EndpointsObject) legacy.object());
    }

    private @Nullable SourcedObject first(Kind kind, ServiceKey key) {
        return byKey.get(new ObjectKey(kind, key.namespace(), key.name()));
    }
}
