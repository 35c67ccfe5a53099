package io.mskkraft.rehearsal;

import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/** Counts, while a partition is read, how many records lie before certain offsets. */
final class OrdinalCounter {
    private final long[] offsets;
    private final Map<Long, Long> ordinals = new HashMap<>();
    private int next;
    private long count;

    /** @param wanted the offsets that are asked for */
    OrdinalCounter(Collection<Long> wanted) {
        offsets = wanted.stream().mapToLong(Long::longValue).sorted().distinct().toArray();
    }

    /** To be called with the offset of each record in order. */
    void saw(long offset) {
        while (next < offsets.length && offsets[next] <= offset) {
            ordinals.put(offsets[next++], count);
        }
        count++;
    }

    /** How many records lie before each offset asked for. */
    Map<Long, Long> finish() {
        while (next < offsets.length) {
            ordinals.put(offsets[next++], count);
        }
        return ordinals;
    }
}
