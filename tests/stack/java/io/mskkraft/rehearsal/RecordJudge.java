package io.mskkraft.rehearsal;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Compares partitions record by record, in lockstep: keys, values, headers, timestamps, order, count, and the codec of
 * the batch that each record lies in.
 */
final class RecordJudge {
    /** How far is looked ahead to tell a missing or added record from an altered one. */
    private static final int WINDOW = 64;

    /** Differences after which a partition is given up. */
    private static final long HOPELESS = 1_000;

    private final JudgeOptions options;
    private final Differences differences;
    private final Map<String, Long> totals = new TreeMap<>();
    private final Map<String, Long> shape = new TreeMap<>();
    private final Map<TopicPartition, Ordinals> ordinals = new ConcurrentHashMap<>();

    RecordJudge(JudgeOptions options, Differences differences) {
        this.options = options;
        this.differences = differences;
    }

    /** Where reading a partition begins and ends. */
    record Range(long from, long end) {}

    /** How many records lie before the committed offsets of a partition on both sides. */
    record Ordinals(Map<Long, Long> source, Map<Long, Long> target) {}

    /** The ordinals learnt while comparing; none for partitions whose target may lack records. */
    Map<TopicPartition, Ordinals> ordinals() {
        return ordinals;
    }

    /** Counts over all partitions. */
    synchronized Map<String, Long> totals() {
        return new TreeMap<>(totals);
    }

    /** Peculiarities of the source's batches over all partitions. */
    synchronized Map<String, Long> shape() {
        return new TreeMap<>(shape);
    }

    /** Compares one partition; the consumers are used by nobody else meanwhile. */
    void compare(
            TopicPartition partition,
            Consumer<byte[], byte[]> source,
            Consumer<byte[], byte[]> target,
            Range sourceRange,
            Range targetRange,
            Collection<Long> sourceOffsets,
            Collection<Long> targetOffsets) {
        Lockstep lockstep = new Lockstep(partition, sourceOffsets, targetOffsets);
        lockstep.run(new PartitionReader(source, partition, sourceRange.from(), sourceRange.end()),
                new PartitionReader(target, partition, targetRange.from(), targetRange.end()));
        boolean lenient = options.ignoreMissing.contains(partition.topic());
        if (!lenient && !lockstep.hopeless()) {
            ordinals.put(partition, new Ordinals(lockstep.sourceOrdinals.finish(), lockstep.targetOrdinals.finish()));
        }
        merge(lockstep);
    }

    private synchronized void merge(Lockstep lockstep) {
        lockstep.counts.forEach((what, count) -> totals.merge(what, count, Long::sum));
        totals.merge("partitions", 1L, Long::sum);
        if (lockstep.sourceCodecs != null) {
            lockstep.sourceCodecs.shape().forEach((what, count) -> shape.merge(what, count, Long::sum));
        }
    }

    /** The comparison of one partition. */
    private final class Lockstep {
        final String scope;
        final boolean lenient;
        final CodecIndex sourceCodecs;
        final CodecIndex targetCodecs;
        final OrdinalCounter sourceOrdinals;
        final OrdinalCounter targetOrdinals;
        final Map<String, Long> counts = new HashMap<>();
        private long found;

        Lockstep(TopicPartition partition, Collection<Long> sourceOffsets, Collection<Long> targetOffsets) {
            scope = partition.topic() + "/" + partition.partition();
            lenient = options.ignoreMissing.contains(partition.topic());
            boolean codecs = !options.sourceLogs.isEmpty();
            sourceCodecs = codecs ? new CodecIndex(options.sourceLogs, partition) : null;
            targetCodecs = codecs ? new CodecIndex(options.targetLogs, partition) : null;
            sourceOrdinals = new OrdinalCounter(sourceOffsets);
            targetOrdinals = new OrdinalCounter(targetOffsets);
        }

        boolean hopeless() {
            return found > HOPELESS;
        }

        void run(PartitionReader source, PartitionReader target) {
            while (source.peek() != null && !hopeless()) {
                step(source, target);
            }
            while (target.peek() != null && !hopeless()) {
                added(target);
            }
            if (hopeless()) {
                differences.add(scope, "gave-up", "more than " + HOPELESS + " differences");
            }
        }

        private void step(PartitionReader source, PartitionReader target) {
            ConsumerRecord<byte[], byte[]> theirs = target.peek();
            String difference = theirs == null ? "missing" : RecordText.difference(source.peek(), theirs);
            if (difference == null) {
                pair(source, target);
            } else if (lenient) {
                count("ignored_missing");
                takeSource(source);
            } else if (theirs == null || position(source.ahead(WINDOW), theirs) > 0) {
                found("missing-on-target", RecordText.show(takeSource(source)));
            } else if (position(target.ahead(WINDOW), source.peek()) > 0) {
                found("added-on-target", RecordText.show(takeTarget(target)));
            } else {
                String detail = RecordText.show(source.peek()) + " became " + RecordText.show(theirs);
                found(difference, detail);
                takeSource(source);
                takeTarget(target);
            }
        }

        /** Two equal records: what remains to compare is how they lie in the segment files. */
        private void pair(PartitionReader source, PartitionReader target) {
            ConsumerRecord<byte[], byte[]> ours = takeSource(source);
            ConsumerRecord<byte[], byte[]> theirs = takeTarget(target);
            count("equal_records");
            if (ours.timestampType() != theirs.timestampType()) {
                count("timestamp_type_changed");
            }
            if (sourceCodecs == null) {
                return;
            }
            String before = sourceCodecs.codec(ours.offset());
            String after = targetCodecs.codec(theirs.offset());
            count("codecs_compared");
            if (!before.equals(after)) {
                found("codec", before + " at " + ours.offset() + " became " + after + " at " + theirs.offset());
            }
        }

        /** A record that follows all of the source's. */
        private void added(PartitionReader target) {
            ConsumerRecord<byte[], byte[]> record = takeTarget(target);
            boolean live = LiveRecord.of(record.value()).isPresent()
                    || record.headers().lastHeader(LiveRecord.SENTINEL_HEADER) != null;
            if (options.liveOnTarget && live) {
                count("live_on_target");
            } else {
                found("added-on-target", RecordText.show(record));
            }
        }

        private ConsumerRecord<byte[], byte[]> takeSource(PartitionReader source) {
            ConsumerRecord<byte[], byte[]> record = source.next();
            sourceOrdinals.saw(record.offset());
            count("source_records");
            return record;
        }

        private ConsumerRecord<byte[], byte[]> takeTarget(PartitionReader target) {
            ConsumerRecord<byte[], byte[]> record = target.next();
            targetOrdinals.saw(record.offset());
            count("target_records");
            return record;
        }

        private void found(String kind, String detail) {
            found++;
            differences.add(scope, kind, detail);
        }

        private void count(String what) {
            counts.merge(what, 1L, Long::sum);
        }

        /** At which place of a window a record lies, -1 if it is not there. */
        private int position(List<ConsumerRecord<byte[], byte[]>> window, ConsumerRecord<byte[], byte[]> wanted) {
            for (int i = 0; i < window.size(); i++) {
                if (RecordText.difference(window.get(i), wanted) == null) {
                    return i;
                }
            }
            return -1;
        }
    }
}
