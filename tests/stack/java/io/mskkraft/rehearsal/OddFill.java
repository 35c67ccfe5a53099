package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Records that careless software loses or changes: null and empty keys and values, and headers whose order, repeats,
 * nulls and raw bytes matter.
 *
 * @param codec   the producer's codec
 * @param batches batches of a partition at scale 1
 */
record OddFill(String codec, int batches) implements TopicSpec.Filler {
    private static final byte[] EMPTY = new byte[0];
    private static final byte[] NOT_UTF8 = {(byte) 0xff, (byte) 0xfe, 0, (byte) 0xc3, 0x28, (byte) 0x80};
    private static final int LARGEST_BATCH_RECORDS = 60;

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        try (BatchWriter writer = new BatchWriter(filling.bootstrap(), codec, 256 << 10)) {
            long number = 0;
            for (int batch = 0; batch < filling.scaled(batches); batch++) {
                List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
                int records = 1 + batch * 7 % LARGEST_BATCH_RECORDS;
                for (int i = 0; i < records; i++, number++) {
                    for (int partition = 0; partition < topic.partitions(); partition++) {
                        all.add(record(filling, topic, partition, number));
                    }
                }
                writer.write(all);
            }
        }
    }

    private static ProducerRecord<byte[], byte[]> record(
            TopicSpec.Filling filling, TopicSpec topic, int partition, long number) {
        SplittableRandom random = filling.seeded().at(topic.name(), partition, number);
        long time = Seeded.BASE_TIME_MS + number * 250;
        byte[] key = bytes(random, (int) (number % 4), "key-" + number);
        byte[] value = bytes(random, (int) (number / 4 % 4), "value-" + number);
        return new ProducerRecord<>(topic.name(), partition, time, key, value, headers(random, number));
    }

    /** Null, empty, text or raw bytes. */
    private static byte[] bytes(SplittableRandom random, int kind, String text) {
        return switch (kind) {
            case 0 -> null;
            case 1 -> EMPTY;
            case 2 -> Seeded.utf8(text);
            default -> Seeded.noise(random, 1 + random.nextInt(300));
        };
    }

    private static RecordHeaders headers(SplittableRandom random, long number) {
        RecordHeaders headers = new RecordHeaders();
        switch ((int) (number % 7)) {
            case 0 -> {
                return headers;
            }
            case 1 -> {
                headers.add("z", Seeded.utf8("first"));
                headers.add("a", Seeded.utf8("second"));
                headers.add("z", Seeded.utf8("third"));
                headers.add("m", null);
                headers.add("a", EMPTY);
            }
            case 2 -> headers.add("__connect.errors.exception.stacktrace", null);
            case 3 -> headers.add("raw", NOT_UTF8);
            case 4 -> {
                headers.add("", EMPTY);
                headers.add("", null);
                headers.add("ключ/鍵 ✓", Seeded.utf8("значение"));
            }
            case 5 -> {
                for (int i = 0; i < 40; i++) {
                    headers.add("hop", Seeded.utf8(Integer.toString(random.nextInt(3))));
                }
            }
            default -> headers.add("blob", Seeded.noise(random, 1_500));
        }
        return headers;
    }
}
