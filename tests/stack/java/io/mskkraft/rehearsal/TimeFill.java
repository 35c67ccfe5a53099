package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Batches whose records lie months apart and out of order, among them the epoch itself and a record years old. */
record TimeFill(String codec, int batches, int records) implements TopicSpec.Filler {

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        try (BatchWriter writer = new BatchWriter(filling.bootstrap(), codec, 512 << 10)) {
            for (int batch = 0; batch < filling.scaled(batches); batch++) {
                List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
                for (int partition = 0; partition < topic.partitions(); partition++) {
                    for (int i = 0; i < records; i++) {
                        long number = (long) batch * records + i;
                        SplittableRandom random = filling.seeded().at(topic.name(), partition, number);
                        byte[] value = Seeded.text(random, topic.name(), number, 300);
                        byte[] key = Seeded.utf8("actor-" + random.nextInt(40));
                        all.add(new ProducerRecord<>(topic.name(), partition, time(random, number), key, value));
                    }
                }
                writer.write(all);
            }
        }
    }

    private static long time(SplittableRandom random, long number) {
        return switch ((int) (number % 6)) {
            case 0 -> Seeded.BASE_TIME_MS;
            case 1 -> Seeded.BASE_TIME_MS - 95 * Seeded.DAY_MS;
            case 2 -> Seeded.BASE_TIME_MS - 430 * Seeded.DAY_MS;
            case 3 -> 0;
            case 4 -> Seeded.BASE_TIME_MS - 3_000 * Seeded.DAY_MS;
            default -> Seeded.BASE_TIME_MS - random.nextLong(200 * Seeded.DAY_MS);
        };
    }
}
