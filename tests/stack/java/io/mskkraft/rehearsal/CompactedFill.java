package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Change data of a compacted topic: every key is written once, then many are overwritten or deleted, by two
 * producers, so that the log cleaner removes single records out of batches and, for the last batch of the first
 * producer, leaves a batch without records. The amount is not scaled: less would leave nothing to clean.
 *
 * @param codecs        the codecs of the two producers
 * @param keys          distinct keys of a partition
 * @param rounds        how often the keys are gone through after the first time
 * @param tombstones    whether some keys are deleted
 * @param transactional whether the second producer writes in transactions, of which it aborts some
 */
record CompactedFill(List<String> codecs, int keys, int rounds, boolean tombstones, boolean transactional)
        implements TopicSpec.Filler {
    private static final int RECORDS_OF_A_BATCH = 30;
    private static final int BATCH_BYTES = 32 << 10;

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        try (BatchWriter first = new BatchWriter(filling.bootstrap(), codecs.get(0), BATCH_BYTES)) {
            writeRound(first, filling, topic, 0, 1.0);
        }
        String id = transactional ? topic.name() + "-changelog-writer" : null;
        try (BatchWriter second = new BatchWriter(filling.bootstrap(), codecs.get(1), BATCH_BYTES, id)) {
            for (int round = 1; round <= rounds; round++) {
                if (!transactional) {
                    writeRound(second, filling, topic, round, 0.6);
                    continue;
                }
                second.producer().beginTransaction();
                writeRound(second, filling, topic, round, 0.6);
                if (round % 3 == 0) {
                    second.producer().abortTransaction();
                } else {
                    second.producer().commitTransaction();
                }
            }
            // The first keys are written once more at the very end, so the first batches surely lose records.
            if (transactional) {
                second.producer().beginTransaction();
            }
            writeRound(second, filling, topic, rounds + 1, 0.5);
            if (transactional) {
                second.producer().commitTransaction();
            }
        }
    }

    /** Goes through all keys once and writes a share of them, in batches of equal size. */
    private void writeRound(BatchWriter writer, TopicSpec.Filling filling, TopicSpec topic, int round, double share)
            throws Exception {
        for (int from = 0; from < keys; from += RECORDS_OF_A_BATCH) {
            List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
            for (int partition = 0; partition < topic.partitions(); partition++) {
                for (int key = from; key < Math.min(keys, from + RECORDS_OF_A_BATCH); key++) {
                    SplittableRandom random = filling.seeded().at(topic.name(), partition, round * 1_000_000L + key);
                    if (random.nextDouble() < share) {
                        all.add(record(random, topic, partition, round, key));
                    }
                }
            }
            noteBatches(filling, writer.write(all));
        }
    }

    private ProducerRecord<byte[], byte[]> record(
            SplittableRandom random, TopicSpec topic, int partition, int round, int key) {
        long number = (long) round * keys + key;
        byte[] keyBytes = Seeded.utf8("{\"id\":" + (partition * 100_000L + key) + "}");
        boolean deleted = tombstones && round > 0 && random.nextInt(8) == 0;
        byte[] value = deleted ? null : Seeded.text(random, topic.name(), number, 260);
        long time = Seeded.BASE_TIME_MS + number * 700;
        return new ProducerRecord<>(topic.name(), partition, time, keyBytes, value);
    }

    private static void noteBatches(TopicSpec.Filling filling, List<RecordMetadata> written) {
        Map<TopicPartition, long[]> ranges = new HashMap<>();
        for (RecordMetadata each : written) {
            TopicPartition partition = new TopicPartition(each.topic(), each.partition());
            long[] range = ranges.computeIfAbsent(partition, any -> new long[] {each.offset(), each.offset()});
            range[1] = each.offset();
        }
        ranges.forEach((partition, range) -> filling.facts().compactedBatch(partition, range[0], range[1]));
    }
}
