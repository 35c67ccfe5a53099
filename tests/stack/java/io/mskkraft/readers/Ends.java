package io.mskkraft.readers;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Where the records of a log end, which transaction markers may follow. */
final class Ends {
    private static final int LOOKED_BACK = 10;

    private Ends() {}

    /** The offset behind the last record of {@code partition}, whose log ends at {@code end}; 0 without one. */
    static long behindLastRecord(String bootstrap, TopicPartition partition, long end) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false);
        long last = 0;
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, Math.max(0, end - LOOKED_BACK));
            while (consumer.position(partition) < end) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    last = record.offset() + 1;
                }
            }
        }
        return last;
    }
}
