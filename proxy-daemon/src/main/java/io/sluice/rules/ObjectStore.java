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
 * All objects, with the source each came from, and the services touched since last asked. Confined to one thread.
 *
 * <p>An object that several sources hold counts as the first of them, by name, has it; when that one lets go, the next
 * takes its place.
 */
public final class ObjectStore {
    private final ProblemTracker problems;
    private final Map<String, List<KubeObject>> bySource = new HashMap<>();
    /** The one that counts. */
    private final Map<ObjectKey, SourcedObject> byKey = new HashMap<>();
    /** Every one, by source, of the few objects that several sources hold. */
    private final Map<ObjectKey, List<SourcedObject>> repeated = new HashMap<>();
    /** By name. One nearly always, so a list is small and copied at each change. */
    private final Map<ServiceKey, List<EndpointsObject>> slices = new HashMap<>();

    private final Set<ServiceCidrObject> serviceCidrs = new LinkedHashSet<>();
    private boolean knowsNodes;
    private Set<ServiceKey> dirty = new LinkedHashSet<>();

    private record SourcedObject(String source, KubeObject object) {}

    public ObjectStore(ProblemTracker problems) {
        this.problems = problems;
    }

    /**
     * What one source holds now, and what is wrong with it.
     *
     * @param partly whether it may hold more: what it held before and is not among these stays
     */
    public record SourceState(List<KubeObject> objects, List<Problem> problems, boolean partly) {
        public static final SourceState GONE = new SourceState(List.of(), List.of());

        public SourceState {
            objects = List.copyOf(objects);
            problems = List.copyOf(problems);
        }

        public SourceState(List<KubeObject> objects, List<Problem> problems) {
            this(objects, problems, false);
        }

        /** This state and then a later one, as one. */
        public SourceState then(SourceState later) {
            if (!later.partly) {
                return later;
            }
            Map<ObjectKey, KubeObject> all = new LinkedHashMap<>();
            objects.forEach(object -> all.put(object.key(), object));
            later.objects.forEach(object -> all.put(object.key(), object));
            return new SourceState(List.copyOf(all.values()), later.problems, partly);
        }
    }

    public void replace(String source, SourceState state) {
        problems.put(source, state.problems());
        Map<ObjectKey, KubeObject> before = new HashMap<>();
        bySource.getOrDefault(source, List.of()).forEach(object -> before.put(object.key(), object));
        Map<ObjectKey, KubeObject> now = new LinkedHashMap<>(state.partly() ? before : Map.of());
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
            bySource.put(source, List.copyOf(now.values()));
        }
    }

    private void hold(ObjectKey key, String source, @Nullable KubeObject object) {
        SourcedObject wasFirst = byKey.get(key);
        List<SourcedObject> before = repeated.getOrDefault(key, wasFirst == null ? List.of() : List.of(wasFirst));
        List<SourcedObject> now = new ArrayList<>(before);
        now.removeIf(held -> held.source().equals(source));
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
            repeated.put(key, List.copyOf(now));
        } else {
            repeated.remove(key);
        }
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

    private static List<Problem> duplicates(List<SourcedObject> held) {
        List<Problem> found = new ArrayList<>();
        for (SourcedObject later : held.subList(Math.min(1, held.size()), held.size())) {
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
            slices.computeIfPresent(endpoints.service(), (service, held) -> {
                List<EndpointsObject> others = without(held, endpoints.key());
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

    private void touch(KubeObject object) {
        ServiceKey service = object.service();
        if (service != null) {
            dirty.add(service);
        }
    }

    private void index(KubeObject object) {
        touch(object);
        if (object instanceof EndpointsObject endpoints && object.key().kind() == Kind.ENDPOINT_SLICE) {
            slices.merge(endpoints.service(), List.of(endpoints), (held, one) -> {
                List<EndpointsObject> all = without(held, endpoints.key());
                all.add(endpoints);
                all.sort(Comparator.comparing(slice -> slice.key().name()));
                return List.copyOf(all);
            });
        } else if (object instanceof ServiceCidrObject cidr) {
            serviceCidrs.add(cidr);
        } else if (object instanceof NodeObject) {
            knowsNodes = true;
        }
    }

    /** Tells every object that counts, with its source. */
    void forEach(BiConsumer<String, KubeObject> action) {
        byKey.values().forEach(held -> action.accept(held.source(), held.object()));
    }

    /** The services whose objects were touched since the last call. */
    public Set<ServiceKey> takeDirty() {
        Set<ServiceKey> taken = dirty;
        dirty = new LinkedHashSet<>();
        return taken;
    }

    @Nullable
    ServiceObject service(ServiceKey key) {
        SourcedObject held = first(Kind.SERVICE, key);
        return held == null ? null : (ServiceObject) held.object();
    }

    /** Where the Service was read; empty if there is none. */
    String sourceOf(ServiceKey key) {
        SourcedObject held = first(Kind.SERVICE, key);
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
    public NodeObject node(String name) {
        SourcedObject held = byKey.get(new ObjectKey(Kind.NODE, "", name));
        return held == null ? null : (NodeObject) held.object();
    }

    /** Whether there was ever any Node: objects that know nothing of nodes say nothing about this one either. */
    boolean knowsNodes() {
        return knowsNodes;
    }

    /** All ranges of ServiceCIDR objects. */
    public Set<Cidr> serviceCidrs() {
        Set<Cidr> cidrs = new LinkedHashSet<>();
        serviceCidrs.forEach(object -> cidrs.addAll(object.cidrs()));
        return cidrs;
    }

    /** The service's slices in the order of their names; only where there are none its legacy Endpoints. */
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
