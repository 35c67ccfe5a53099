package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Ordinary business events: a number of batches of a number of records in each partition.
 *
 * @param codecs    the producers' codecs; consecutive batches take turns
 * @param batches   batches of a partition at scale 1; partitions get between half and all of them
 * @param records   records of a batch
 * @param valueSize bytes of a value
 * @param noise     whether values are incompressible
 * @param keys      how keys look
 * @param headers   whether records carry tracing headers
 * @param empty     partitions that stay without records
 */
record PlainFill(
        List<String> codecs,
        int batches,
        int records,
        int valueSize,
        boolean noise,
        Keys keys,
        boolean headers,
        Set<Integer> empty)
        implements TopicSpec.Filler {

    /** Just below the default {@code message.max.bytes}. */
    private static final int LARGEST_BATCH = 1_040_000;

    /** What the partitioning key of a record is. */
    enum Keys {
        /** Every record has a key out of a few hundred. */
        ALL,
        /** No record has a key. */
        NONE,
        /** Keyed and unkeyed records alternate at random. */
        SOME
    }

    /** Compressible keyed events of one codec without headers. */
    static PlainFill events(String codec, int batches, int records, int valueSize) {
        return new PlainFill(List.of(codec), batches, records, valueSize, false, Keys.ALL, false, Set.of());
    }

    /** The same with tracing headers. */
    PlainFill withHeaders() {
        return new PlainFill(codecs, batches, records, valueSize, noise, keys, true, empty);
    }

    /** The same with other keys. */
    PlainFill withKeys(Keys other) {
        return new PlainFill(codecs, batches, records, valueSize, noise, other, headers, empty);
    }

    /** The same with incompressible values. */
    PlainFill withNoise() {
        return new PlainFill(codecs, batches, records, valueSize, true, keys, headers, empty);
    }

    /** The same with several codecs by turns. */
    PlainFill withCodecs(List<String> several) {
        return new PlainFill(several, batches, records, valueSize, noise, keys, headers, empty);
    }

    /** The same with some partitions left empty. */
    PlainFill leavingEmpty(Integer... partitions) {
        return new PlainFill(codecs, batches, records, valueSize, noise, keys, headers, Set.of(partitions));
    }

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        int batchBytes = Math.min(LARGEST_BATCH, Math.max(16_384, records * (valueSize + 200) * 3 / 2));
        int largest = Math.max(batchBytes, valueSize + 4096);
        List<BatchWriter> writers = new ArrayList<>();
        try {
            for (String codec : codecs) {
                writers.add(new BatchWriter(filling.bootstrap(), codec, largest));
            }
            int rounds = filling.scaled(batches);
            for (int round = 0; round < rounds; round++) {
                List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
                for (int partition = 0; partition < topic.partitions(); partition++) {
                    if (!empty.contains(partition) && round < share(filling, topic, partition, rounds)) {
                        addBatch(all, filling, topic, partition, round);
                    }
                }
                writers.get(round % writers.size()).write(all);
            }
        } finally {
            writers.forEach(BatchWriter::close);
        }
    }

    /** How many of the rounds a partition takes part in: real partitions are not equally full. */
    private static int share(TopicSpec.Filling filling, TopicSpec topic, int partition, int rounds) {
        int least = (rounds + 1) / 2;
        return least + filling.seeded().at(topic.name(), partition, -1).nextInt(rounds - least + 1);
    }

    private void addBatch(
            List<ProducerRecord<byte[], byte[]>> into,
            TopicSpec.Filling filling,
            TopicSpec topic,
            int partition,
            int round) {
        for (int i = 0; i < records; i++) {
            long number = (long) round * records + i;
            SplittableRandom random = filling.seeded().at(topic.name(), partition, number);
            long time = Seeded.BASE_TIME_MS + number * 1_000 + random.nextInt(2_000);
            byte[] value = noise
                    ? Seeded.noise(random, valueSize)
                    : Seeded.text(random, topic.name(), number, valueSize);
            RecordHeaders carried = headers ? tracing(random, number) : new RecordHeaders();
            into.add(new ProducerRecord<>(topic.name(), partition, time, key(random), value, carried));
        }
    }

    private byte[] key(SplittableRandom random) {
        boolean keyed = keys == Keys.ALL || keys == Keys.SOME && random.nextBoolean();
        return keyed ? Seeded.utf8("id-" + random.nextInt(500)) : null;
    }

    private static RecordHeaders tracing(SplittableRandom random, long number) {
        RecordHeaders headers = new RecordHeaders();
        headers.add("traceparent", Seeded.utf8("00-" + Long.toHexString(random.nextLong()) + "-01"));
        headers.add("content-type", Seeded.utf8("application/json"));
        if (number % 10 == 0) {
            headers.add("retry", Seeded.utf8("1"));
            headers.add("retry", Seeded.utf8("2"));
        }
        return headers;
    }
}
