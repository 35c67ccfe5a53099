package io.mskkraft.rehearsal;

import java.time.Duration;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/**
 * Waits until the log cleaner has removed records inside batches and then parks it, so that the compacted topics stay
 * as they are. The proof is what a consumer reads: of a batch whose offsets were noted while writing, some records are
 * there and some are gone.
 */
final class HoleWatch {
    private static final long PATIENCE_MS = 180_000;
    private static final long LEAST_CALM_MS = 1_500;
    private final TopicSpec.Filling filling;
    private final Map<TopicPartition, List<long[]>> batches;

    HoleWatch(TopicSpec.Filling filling) {
        this.filling = filling;
        this.batches = filling.facts().compactedBatches();
    }

    /** Waits, parks the cleaner and returns the number of batches with holes of each topic. */
    Map<String, Integer> settle() throws Exception {
        try (Admin admin = Clients.admin(filling.bootstrap());
                KafkaConsumer<byte[], byte[]> consumer = Clients.consumer(filling.bootstrap(), null)) {
            long calm = Math.max(LEAST_CALM_MS, 2 * cleanerBackoff(admin));
            long deadline = System.currentTimeMillis() + PATIENCE_MS;
            Map<TopicPartition, BitSet> before = read(consumer);
            while (System.currentTimeMillis() < deadline) {
                Thread.sleep(calm);
                Map<TopicPartition, BitSet> now = read(consumer);
                Map<String, Integer> holes = holes(now);
                if (now.equals(before) && holes.keySet().equals(topics())) {
                    park(admin);
                    noteHole(now);
                    return holes;
                }
                before = now;
            }
            throw new IllegalStateException("the log cleaner left no holes or no rest: " + holes(before));
        }
    }

    private Set<String> topics() {
        return batches.keySet().stream().map(TopicPartition::topic).collect(Collectors.toCollection(TreeSet::new));
    }

    private static long cleanerBackoff(Admin admin) throws Exception {
        String broker = admin.describeCluster().nodes().get().iterator().next().idString();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.BROKER, broker);
        Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        return Long.parseLong(config.get("log.cleaner.backoff.ms").value());
    }

    /** The offsets that a consumer gets from each partition. */
    private Map<TopicPartition, BitSet> read(KafkaConsumer<byte[], byte[]> consumer) {
        Collection<TopicPartition> partitions = batches.keySet();
        Map<TopicPartition, BitSet> seen = new HashMap<>();
        partitions.forEach(partition -> seen.put(partition, new BitSet()));
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                seen.get(new TopicPartition(record.topic(), record.partition())).set((int) record.offset());
            }
        }
        return seen;
    }

    /** How many batches of each topic have lost some but not all of their records. */
    private Map<String, Integer> holes(Map<TopicPartition, BitSet> seen) {
        Map<String, Integer> holes = new HashMap<>();
        batches.forEach((partition, ranges) -> {
            for (long[] range : ranges) {
                int left = left(seen.get(partition), range);
                if (left > 0 && left < range[1] - range[0] + 1) {
                    holes.merge(partition.topic(), 1, Integer::sum);
                }
            }
        });
        return holes;
    }

    private static int left(BitSet seen, long[] range) {
        return seen.get((int) range[0], (int) range[1] + 1).cardinality();
    }

    /** Notes for each topic an offset that is gone out of a batch which is still there. */
    private void noteHole(Map<TopicPartition, BitSet> seen) {
        batches.forEach((partition, ranges) -> {
            for (long[] range : ranges) {
                long gone = seen.get(partition).nextClearBit((int) range[0]);
                if (gone <= range[1] && left(seen.get(partition), range) > 0) {
                    filling.facts().note(partition.topic() + ":hole", partition, gone);
                    return;
                }
            }
        });
    }

    /** Stops further cleaning: the share of uncleaned bytes has to exceed the ratio, and nothing exceeds 1. */
    private void park(Admin admin) throws Exception {
        AlterConfigOp op =
                new AlterConfigOp(new ConfigEntry("min.cleanable.dirty.ratio", "1.0"), AlterConfigOp.OpType.SET);
        Map<ConfigResource, Collection<AlterConfigOp>> changes = new HashMap<>();
        topics().forEach(topic -> changes.put(new ConfigResource(ConfigResource.Type.TOPIC, topic), List.of(op)));
        admin.incrementalAlterConfigs(changes).all().get();
    }
}
