package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/** Collects what differs between source and target; safe for several threads. */
final class Differences {
    private final int printedOfAScope;
    private final Consumer<String> printer;
    private final Map<String, Integer> scopes = new HashMap<>();
    private final Map<String, Long> kinds = new TreeMap<>();
    private final List<Difference> kept = new ArrayList<>();

    /**
     * One difference.
     *
     * @param scope where: a partition as {@code topic/partition}, a topic, a group, or {@code acl}
     * @param kind  what sort, such as {@code value} or {@code missing-on-target}
     */
    record Difference(String scope, String kind, String detail) {
        @Override
        public String toString() {
            return "DIFFERENCE " + kind + " " + scope + ": " + detail;
        }
    }

    /**
     * @param printedOfAScope how many differences of one scope are shown; all are counted
     * @param printer         where they are shown
     */
    Differences(int printedOfAScope, Consumer<String> printer) {
        this.printedOfAScope = printedOfAScope;
        this.printer = printer;
    }

    /** Notes a difference. */
    synchronized void add(String scope, String kind, String detail) {
        kinds.merge(kind, 1L, Long::sum);
        if (scopes.merge(scope, 1, Integer::sum) <= printedOfAScope) {
            Difference difference = new Difference(scope, kind, detail);
            kept.add(difference);
            printer.accept(difference.toString());
        }
    }

    /** How many differences of each kind there are. */
    synchronized Map<String, Long> kinds() {
        return new TreeMap<>(kinds);
    }

    /** The differences that were shown. */
    synchronized List<Difference> kept() {
        return List.copyOf(kept);
    }

    /** How many there are. */
    synchronized long total() {
        return kinds.values().stream().mapToLong(Long::longValue).sum();
    }
}
