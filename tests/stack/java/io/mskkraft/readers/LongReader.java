package io.mskkraft.readers;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;

/** A member of a group that takes nothing but longs; it goes on where the group stands and reads to the end. */
final class LongReader {
    private final String bootstrap;
    private final String group;
    private final boolean sink;

    /**
     * A reader of the input topic.
     *
     * @param sink whether offsets are committed by what was taken, for each partition, as a connector's worker does it, rather
     *     than by the consumer's position
     */
    LongReader(String bootstrap, String group, boolean sink) {
        this.bootstrap = bootstrap;
        this.group = group;
        this.sink = sink;
    }

    /** Reads to the end and commits; returns how many records it met since the group's last commit. */
    long run() {
        Map<String, Object> config = Map.of(
            "bootstrap.servers", bootstrap,
            "group.id", group,
            "auto.offset.reset", "earliest",
            "enable.auto.commit", false,
            "isolation.level", sink ? "read_committed" : "read_uncommitted");
        long read = 0;
        try (var consumer = new KafkaConsumer<>(config, new LongDeserializer(), new LongDeserializer())) {
            consumer.subscribe(List.of(Input.TOPIC));
            while (!isAtEnd(consumer)) {
                ConsumerRecords<Long, Long> records = consumer.poll(Duration.ofMillis(200));
                for (ConsumerRecord<Long, Long> record : records) {
                    if (record.key() == null || record.value() == null) {
                        throw new IllegalStateException("not a business record: " + record);
                    }
                    read++;
                }
                commit(consumer, records);
            }
        }
        return read;
    }

    private static boolean isAtEnd(KafkaConsumer<Long, Long> consumer) {
        var assigned = consumer.assignment();
        if (assigned.isEmpty()) {
            return false;
        }
        var ends = consumer.endOffsets(assigned);
        return assigned.stream().allMatch(partition -> consumer.position(partition) >= ends.get(partition));
    }

    private void commit(KafkaConsumer<Long, Long> consumer, ConsumerRecords<Long, Long> records) {
        if (!sink) {
            consumer.commitSync();
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> taken = new HashMap<>();
        for (ConsumerRecord<Long, Long> record : records) {
            taken.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        if (!taken.isEmpty()) {
            consumer.commitSync(taken);
        }
    }
}
