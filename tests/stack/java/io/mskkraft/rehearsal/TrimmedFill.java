package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Partitions whose log starts above 0 because records were deleted (DeleteRecords, as Kafka Streams does with its
 * repartition topics). By partition: 0 starts at a batch boundary, 1 in the middle of a batch, 2 is deleted up to its
 * end, 3 is deleted up to its end and then written again; all others stay whole.
 */
record TrimmedFill(String codec, int batches, int records) implements TopicSpec.Filler {

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        try (BatchWriter writer = new BatchWriter(filling.bootstrap(), codec, 512 << 10);
                Admin admin = Clients.admin(filling.bootstrap())) {
            int rounds = Math.max(4, filling.scaled(batches));
            for (int round = 0; round < rounds; round++) {
                List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
                for (int partition = 0; partition < topic.partitions(); partition++) {
                    addBatch(all, filling, topic, partition, round);
                }
                writer.write(all);
            }
            long end = (long) rounds * records;
            Map<TopicPartition, RecordsToDelete> cuts = new HashMap<>();
            cut(cuts, topic, 0, 2L * records);
            cut(cuts, topic, 1, 2L * records + records / 3);
            cut(cuts, topic, 2, end);
            cut(cuts, topic, 3, end);
            admin.deleteRecords(cuts).all().get();
            if (topic.partitions() > 3) {
                List<ProducerRecord<byte[], byte[]>> again = new ArrayList<>();
                addBatch(again, filling, topic, 3, rounds);
                writer.write(again);
            }
            filling.facts().note(topic.name() + ":boundary", topic.partition(0), 2L * records);
            filling.facts().note(topic.name() + ":middle", topic.partition(1), 2L * records + records / 3);
            if (topic.partitions() > 2) {
                filling.facts().note(topic.name() + ":all-deleted", topic.partition(2), end);
            }
        }
    }

    private static void cut(Map<TopicPartition, RecordsToDelete> cuts, TopicSpec topic, int partition, long before) {
        if (partition < topic.partitions()) {
            cuts.put(topic.partition(partition), RecordsToDelete.beforeOffset(before));
        }
    }

    private void addBatch(
            List<ProducerRecord<byte[], byte[]>> into,
            TopicSpec.Filling filling,
            TopicSpec topic,
            int partition,
            int round) {
        for (int i = 0; i < records; i++) {
            long number = (long) round * records + i;
            byte[] value = Seeded.text(filling.seeded().at(topic.name(), partition, number), topic.name(), number, 250);
            byte[] key = Seeded.utf8("vehicle-" + number % 90);
            long time = Seeded.BASE_TIME_MS + number * 5_000;
            into.add(new ProducerRecord<>(topic.name(), partition, time, key, value));
        }
    }
}
