package io.mskkraft.rehearsal;

import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Compares consumer groups by what they would read next: the record that a read_committed consumer gets from the
 * position on the source has to be the one it gets from the position on the target, and the number of records before
 * both positions has to be the same where it is known.
 */
final class GroupJudge {
    private static final Duration POLL = Duration.ofMillis(100);
    private static final long PATIENCE_MS = 10_000;
    private final JudgeOptions options;
    private final Differences differences;
    private final Map<String, Map<TopicPartition, OffsetAndMetadata>> source;
    private final Map<String, Map<TopicPartition, OffsetAndMetadata>> target;
    private final Map<String, Long> totals = new TreeMap<>();

    /** Reads the committed offsets of both sides. */
    GroupJudge(JudgeOptions options, Differences differences, Admin source, Admin target) throws Exception {
        this.options = options;
        this.differences = differences;
        this.source = committed(source);
        this.target = committed(target);
    }

    /** The offsets that groups committed for a partition on the source. */
    Set<Long> sourceOffsets(TopicPartition partition) {
        return offsets(source, partition);
    }

    /** The offsets that groups committed for a partition on the target. */
    Set<Long> targetOffsets(TopicPartition partition) {
        return offsets(target, partition);
    }

    /** Counts over all groups. */
    Map<String, Long> totals() {
        return totals;
    }

    private static Set<Long> offsets(Map<String, Map<TopicPartition, OffsetAndMetadata>> groups, TopicPartition of) {
        return groups.values().stream().map(group -> group.get(of)).filter(Objects::nonNull)
                .map(OffsetAndMetadata::offset).collect(Collectors.toSet());
    }

    private Map<String, Map<TopicPartition, OffsetAndMetadata>> committed(Admin admin) throws Exception {
        Map<String, Map<TopicPartition, OffsetAndMetadata>> groups = new TreeMap<>();
        ListConsumerGroupOffsetsOptions stable = new ListConsumerGroupOffsetsOptions().requireStable(true);
        for (ConsumerGroupListing group : admin.listConsumerGroups().all().get()) {
            String id = group.groupId();
            if (options.ignoreGroups.contains(id) || id.startsWith("amazon.msk.canary.group.broker-")) {
                continue;
            }
            Map<TopicPartition, OffsetAndMetadata> wanted = new HashMap<>();
            var offsets = admin.listConsumerGroupOffsets(id, stable).partitionsToOffsetAndMetadata();
            offsets.get().forEach((where, offset) -> {
                if (offset != null && options.wants(where.topic())) {
                    wanted.put(where, offset);
                }
            });
            if (!wanted.isEmpty()) {
                groups.put(id, wanted);
            }
        }
        return groups;
    }

    /**
     * Compares all groups.
     *
     * @param existing partitions of the topics that exist on both sides
     * @param ordinals what comparing the records told
     * @param sourceRanges log start and end of each partition on the source
     * @param targetRanges the same on the target
     */
    void compare(
            Set<TopicPartition> existing,
            Map<TopicPartition, RecordJudge.Ordinals> ordinals,
            Map<TopicPartition, RecordJudge.Range> sourceRanges,
            Map<TopicPartition, RecordJudge.Range> targetRanges) {
        Set<String> all = new TreeSet<>(source.keySet());
        all.addAll(target.keySet());
        try (Side ours = new Side(options.source, sourceRanges);
                Side theirs = new Side(options.target, targetRanges)) {
            for (String group : all) {
                if (!target.containsKey(group)) {
                    differences.add(group, "group-missing", "not on the target");
                } else if (!source.containsKey(group)) {
                    differences.add(group, "group-added", "not on the source");
                } else {
                    count("groups");
                    for (TopicPartition partition : partitions(group)) {
                        if (existing.contains(partition)) {
                            one(group, partition, ordinals.get(partition), ours, theirs);
                        } else {
                            count("positions_of_unknown_partitions");
                        }
                    }
                }
            }
        }
    }

    private Set<TopicPartition> partitions(String group) {
        Set<TopicPartition> partitions = new HashSet<>(source.get(group).keySet());
        partitions.addAll(target.get(group).keySet());
        return partitions;
    }

    private void one(String group, TopicPartition partition, RecordJudge.Ordinals ordinals, Side ours, Side theirs) {
        OffsetAndMetadata before = source.get(group).get(partition);
        OffsetAndMetadata after = target.get(group).get(partition);
        String where = partition + " ";
        if (before == null || after == null) {
            String side = before == null ? "source" : "target";
            differences.add(group, "group-position-missing", where + "is not committed on the " + side);
            return;
        }
        count("positions");
        if (!before.metadata().equals(after.metadata())) {
            differences.add(group, "group-metadata", where + before.metadata() + " became " + after.metadata());
        }
        if (ordinals != null) {
            long read = ordinals.source().get(before.offset());
            long readThere = ordinals.target().get(after.offset());
            if (read != readThere) {
                differences.add(group, "group-position", where + before.offset() + " is behind " + read
                        + " records, " + after.offset() + " on the target behind " + readThere);
            }
        }
        nextRecord(group, partition, ours.next(partition, before), theirs.next(partition, after));
    }

    private void nextRecord(String group, TopicPartition partition, Next before, Next after) {
        if (before.stuck() || after.stuck()) {
            differences.add(group, "group-stuck", partition + " gives a consumer of the group nothing on the "
                    + (after.stuck() ? "target" : "source"));
            return;
        }
        ConsumerRecord<byte[], byte[]> next = before.record();
        ConsumerRecord<byte[], byte[]> nextThere = after.record();
        boolean live = options.liveOnTarget && next == null && nextThere != null
                && (LiveRecord.of(nextThere.value()).isPresent()
                        || nextThere.headers().lastHeader(LiveRecord.SENTINEL_HEADER) != null);
        boolean same = next == null || nextThere == null
                ? next == nextThere
                : RecordText.difference(next, nextThere) == null;
        if (!same && !live) {
            differences.add(group, "group-next-record",
                    partition + " next: " + RecordText.show(next) + " became " + RecordText.show(nextThere));
        }
    }

    /** What a consumer gets next: a record, nothing because there is none, or nothing although there is one. */
    private record Next(ConsumerRecord<byte[], byte[]> record, boolean stuck) {}

    /** One cluster, read the way members of a group do. */
    private static final class Side implements AutoCloseable {
        private final String bootstrap;
        private final Map<TopicPartition, RecordJudge.Range> ranges;
        private Consumer<byte[], byte[]> consumer;

        Side(String bootstrap, Map<TopicPartition, RecordJudge.Range> ranges) {
            this.bootstrap = bootstrap;
            this.ranges = ranges;
            consumer = Clients.consumer(bootstrap, null);
        }

        /** What follows a committed position; below the log start a consumer begins there. */
        Next next(TopicPartition partition, OffsetAndMetadata committed) {
            RecordJudge.Range range = ranges.get(partition);
            long from = Math.max(committed.offset(), range.from());
            if (from >= range.end()) {
                return new Next(null, false);
            }
            consumer.assign(List.of(partition));
            // With the committed leader epoch, as a member does: one of the other cluster makes it start again or hang.
            consumer.seek(partition, new OffsetAndMetadata(from, committed.leaderEpoch(), ""));
            long deadline = System.currentTimeMillis() + PATIENCE_MS;
            while (System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL).records(partition)) {
                    return new Next(record.offset() < range.end() ? record : null, false);
                }
                if (consumer.position(partition) >= range.end()) {
                    return new Next(null, false);
                }
            }
            // What it learnt about epochs would also hold up the next group.
            consumer.close();
            consumer = Clients.consumer(bootstrap, null);
            return new Next(null, true);
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    private void count(String what) {
        totals.merge(what, 1L, Long::sum);
    }
}
