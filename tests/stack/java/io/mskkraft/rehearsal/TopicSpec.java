package io.mskkraft.rehearsal;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.TopicPartition;

/**
 * One topic of the source.
 *
 * @param configs what is set on the topic itself
 * @param filler  what writes its records
 * @param holds   what the topic is there for, in a few words
 */
record TopicSpec(String name, int partitions, Map<String, String> configs, Filler filler, String holds) {

    /** A partition of this topic. */
    TopicPartition partition(int number) {
        return new TopicPartition(name, number);
    }

    /** Writes the records of a topic. */
    @FunctionalInterface
    interface Filler {
        /** Writes everything the topic is to hold and returns when it is acknowledged. */
        void fill(Filling filling, TopicSpec topic) throws Exception;

        /** This, and then the other. */
        default Filler and(Filler other) {
            return (filling, topic) -> {
                fill(filling, topic);
                other.fill(filling, topic);
            };
        }
    }

    /**
     * What a filler works with.
     *
     * @param bootstrap the source's brokers
     * @param seeded    where all content comes from
     * @param scale     how much to write; 1 is the normal size
     * @param facts     where a filler notes offsets that the consumer groups are to stand on
     */
    record Filling(String bootstrap, Seeded seeded, double scale, Facts facts) {
        /** A count of batches, scaled, at least one. */
        int scaled(int count) {
            return (int) Math.max(1, Math.round(count * scale));
        }
    }

    /** A remarkable offset of a partition. */
    record Place(TopicPartition partition, long offset) {}

    /** What the fillers learnt about offsets while writing. */
    static final class Facts {
        private final ConcurrentMap<String, Place> places = new ConcurrentHashMap<>();
        private final ConcurrentMap<TopicPartition, List<long[]>> compactedBatches = new ConcurrentHashMap<>();

        /** Notes a remarkable offset under a name. */
        void note(String name, TopicPartition partition, long offset) {
            places.put(name, new Place(partition, offset));
        }

        /** The offset of that name. */
        Place place(String name) {
            Place place = places.get(name);
            if (place == null) {
                throw new IllegalStateException("no filler noted " + name);
            }
            return place;
        }

        /** Notes the first and last offset of a batch that the log cleaner is to leave with holes. */
        void compactedBatch(TopicPartition partition, long first, long last) {
            compactedBatches.computeIfAbsent(partition, any -> new CopyOnWriteArrayList<>())
                    .add(new long[] {first, last});
        }

        /** The batches of the partitions that the log cleaner is to leave with holes. */
        Map<TopicPartition, List<long[]>> compactedBatches() {
            return compactedBatches;
        }

        /** Every remarkable offset by name. */
        Map<String, Place> places() {
            return places;
        }
    }
}
