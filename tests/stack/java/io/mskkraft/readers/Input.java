package io.mskkraft.readers;

import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.LongSerializer;

/**
 * Writes the applications' input: longs under five keys, ten to an hour and key, the hours one after the other. Prints how many
 * as JSON.
 *
 * <p>Arguments: {@code BOOTSTRAP FIRST_HOUR HOURS}.
 */
public final class Input {
    /** The topic. */
    static final String TOPIC = "readers-input";

    /** Keys. */
    static final int KEYS = 5;

    /** Records of a key in an hour. */
    static final int PER_HOUR = 10;

    private static final long HOUR_MS = 3_600_000;

    /** A Friday of 2026, long enough ago for everything to lie in the past. */
    private static final long BEGIN_MS = 1_772_150_400_000L;

    private Input() {}

    /** Writes. */
    public static void main(String[] args) throws Exception {
        int first = Integer.parseInt(args[1]);
        int hours = Integer.parseInt(args[2]);
        Map<String, Object> config = Map.of("bootstrap.servers", args[0], "acks", "all");
        long written = 0;
        try (var producer = new KafkaProducer<>(config, new LongSerializer(), new LongSerializer())) {
            for (int hour = first; hour < first + hours; hour++) {
                for (int number = 0; number < KEYS * PER_HOUR; number++) {
                    long at = BEGIN_MS + hour * HOUR_MS + number * 1000L;
                    long key = number % KEYS;
                    producer.send(new ProducerRecord<>(TOPIC, null, at, key, (long) number)).get();
                    written++;
                }
            }
        }
        System.out.printf("{\"written\": %d}%n", written);
    }
}
