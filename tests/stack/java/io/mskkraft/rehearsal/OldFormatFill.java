package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/**
 * Records that the broker stores in a format before Kafka 0.11, because the topic's {@code message.format.version} says
 * so: every codec of that time by turns, null keys and values, large and empty ones, records alone and in batches.
 *
 * @param overwritten  whether keys repeat, so that the log cleaner leaves holes in the batches
 * @param upgradedTo   null, or the format version that the topic gets half way
 */
record OldFormatFill(boolean overwritten, String upgradedTo) implements TopicSpec.Filler {
    /** A transport of the records that is as large as a batch of that time could be. */
    private static final int BATCH_BYTES = 128 << 10;

    private static final int ROUNDS = 6;
    private static final int RECORDS_OF_A_BATCH = 25;
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4");

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            if (round == ROUNDS / 2 && upgradedTo != null) {
                upgrade(filling, topic);
            }
            for (String codec : CODECS) {
                try (BatchWriter writer = BatchWriter.forOldFormats(filling.bootstrap(), codec, BATCH_BYTES)) {
                    writeBatch(writer, filling, topic, round, codec, RECORDS_OF_A_BATCH);
                    writeBatch(writer, filling, topic, round, codec, 1);
                }
            }
        }
    }

    private void writeBatch(
            BatchWriter writer, TopicSpec.Filling filling, TopicSpec topic, int round, String codec, int count)
            throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int partition = 0; partition < topic.partitions(); partition++) {
            for (int i = 0; i < count; i++) {
                SplittableRandom random =
                        filling.seeded().at(topic.name() + codec + count, partition, round * 1_000L + i);
                byte[] key = key(random, codec, i);
                long time = Seeded.BASE_TIME_MS + round * 60_000L + i * 10L;
                records.add(new ProducerRecord<>(topic.name(), partition, time, key, value(random, key, round, i)));
            }
        }
        List<RecordMetadata> written = writer.write(records);
        if (overwritten && count > 1 && !codec.equals("none") && round < ROUNDS - 1) {
            noteBatches(filling, written);
        }
    }

    private byte[] key(SplittableRandom random, String codec, int i) {
        if (overwritten) {
            // Some keys belong to one round, so that no batch disappears as a whole.
            return Seeded.utf8("key-" + (i % 3 == 0 ? Long.toHexString(random.nextLong()) : codec + i));
        }
        return i % 4 == 0 ? null : i % 9 == 1 ? new byte[0] : Seeded.utf8("id-" + random.nextInt(500));
    }

    private byte[] value(SplittableRandom random, byte[] key, int round, int i) {
        return switch (i % 8) {
            // A tombstone has its key; a record of nothing would be deleted from a compacted topic at once.
            case 3 -> key == null || overwritten ? Seeded.text(random, "old", i, 200) : null;
            case 5 -> new byte[0];
            case 7 -> Seeded.noise(random, 3_000);
            default -> Seeded.text(random, "old", round * 100L + i, 150);
        };
    }

    private static void noteBatches(TopicSpec.Filling filling, List<RecordMetadata> written) {
        Map<TopicPartition, long[]> ranges = new HashMap<>();
        for (RecordMetadata each : written) {
            TopicPartition partition = new TopicPartition(each.topic(), each.partition());
            ranges.computeIfAbsent(partition, any -> new long[] {each.offset(), 0})[1] = each.offset();
        }
        ranges.forEach((partition, range) -> filling.facts().compactedBatch(partition, range[0], range[1]));
    }

    private void upgrade(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic.name());
        AlterConfigOp op =
                new AlterConfigOp(new ConfigEntry("message.format.version", upgradedTo), AlterConfigOp.OpType.SET);
        try (Admin admin = Clients.admin(filling.bootstrap())) {
            admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
        }
    }
}
