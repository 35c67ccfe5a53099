package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Committed, aborted and interleaved transactions. By partition: 0 holds committed transactions only; 1 commits and
 * aborts by turns; 2 interleaves two open transactions of several batches, one committed and one aborted; 3 ends in an
 * abort marker; 4 holds nothing but an aborted transaction; 5 mixes transactions with a plain producer's records. All
 * further partitions take part in transactions that span the whole topic.
 *
 * @param codecs the codecs of the two transactional producers
 * @param rounds transactions of a partition at scale 1
 * @param group  a consumer group whose offset for partition 0 is committed inside a transaction, or null
 */
record TransactionFill(List<String> codecs, int rounds, String group) implements TopicSpec.Filler {
    private static final int RECORDS = 25;
    private static final int BATCH_BYTES = 64 << 10;

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        try (Writers writers = new Writers(filling, topic)) {
            int last = filling.scaled(rounds);
            for (int round = 0; round < last; round++) {
                transaction(writers.one, true, () -> writers.batch(writers.one, 0, 2));
                boolean commits = round % 2 == 0;
                transaction(writers.two, commits, () -> writers.batch(writers.two, 1, 2));
                interleaved(writers, filling, round);
                transaction(writers.one, true, () -> writers.batch(writers.one, 3, 1));
                writers.batch(writers.plain, 5, 1);
                transaction(writers.one, !commits, () -> writers.batch(writers.one, 5, 1));
                transaction(writers.two, true, () -> {
                    for (int partition = 6; partition < topic.partitions(); partition++) {
                        writers.batch(writers.two, partition, 1);
                    }
                });
            }
            long ended = writers.next[3];
            transaction(writers.two, false, () -> writers.batch(writers.two, 3, 4));
            filling.facts().note(topic.name() + ":last-abort-marker", topic.partition(3), writers.next[3]);
            filling.facts().note(topic.name() + ":last-aborted-data", topic.partition(3), ended + RECORDS);
            transaction(writers.one, false, () -> writers.batch(writers.one, 4, 3));
            filling.facts().note(topic.name() + ":only-aborted", topic.partition(4), RECORDS);
            commitGroup(writers, topic);
        }
    }

    /** Two transactions open at once in partition 2, their batches by turns. */
    private static void interleaved(Writers writers, TopicSpec.Filling filling, int round) throws Exception {
        writers.one.producer().beginTransaction();
        writers.two.producer().beginTransaction();
        for (int i = 0; i < 3; i++) {
            writers.batch(writers.one, 2, 1);
            long aborted = writers.batch(writers.two, 2, 1);
            filling.facts().note(writers.topic.name() + ":aborted-data", writers.topic.partition(2), aborted);
        }
        if (round % 2 == 0) {
            writers.two.producer().abortTransaction();
            writers.one.producer().commitTransaction();
        } else {
            writers.one.producer().commitTransaction();
            writers.two.producer().abortTransaction();
        }
        long marker = writers.next[2];
        filling.facts().note(writers.topic.name() + ":control-marker", writers.topic.partition(2), marker);
    }

    private void commitGroup(Writers writers, TopicSpec topic) throws Exception {
        if (group == null) {
            return;
        }
        transaction(writers.one, true, () -> {
            long written = writers.batch(writers.one, 0, 1);
            Map<TopicPartition, OffsetAndMetadata> offsets =
                    Map.of(topic.partition(0), new OffsetAndMetadata(written, "committed in a transaction"));
            writers.one.producer().sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata(group));
        });
    }

    private static void transaction(BatchWriter writer, boolean commits, Step step) throws Exception {
        writer.producer().beginTransaction();
        step.run();
        if (commits) {
            writer.producer().commitTransaction();
        } else {
            writer.producer().abortTransaction();
        }
    }

    private interface Step {
        void run() throws Exception;
    }

    /** The three producers and how far each partition is written. */
    private final class Writers implements AutoCloseable {
        final TopicSpec topic;
        final Seeded seeded;
        final BatchWriter one;
        final BatchWriter two;
        final BatchWriter plain;
        /** The offset that follows the last data record written by a partition. */
        final long[] next;

        private final long[] numbers;

        Writers(TopicSpec.Filling filling, TopicSpec topic) {
            this.topic = topic;
            this.seeded = filling.seeded();
            next = new long[topic.partitions()];
            numbers = new long[topic.partitions()];
            one = new BatchWriter(filling.bootstrap(), codecs.get(0), BATCH_BYTES, topic.name() + "-writer-1");
            two = new BatchWriter(filling.bootstrap(), codecs.get(1), BATCH_BYTES, topic.name() + "-writer-2");
            plain = new BatchWriter(filling.bootstrap(), "none", BATCH_BYTES);
        }

        /** Writes batches to a partition and returns the offset of the first record of the last one. */
        long batch(BatchWriter writer, int partition, int batches) throws Exception {
            long first = -1;
            for (int batch = 0; batch < batches; batch++) {
                List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
                for (int i = 0; i < RECORDS; i++) {
                    long number = numbers[partition]++;
                    byte[] value =
                            Seeded.text(seeded.at(topic.name(), partition, number), topic.name(), number, 320);
                    byte[] key = Seeded.utf8("account-" + number % 70);
                    long time = Seeded.BASE_TIME_MS + number * 400;
                    all.add(new ProducerRecord<>(topic.name(), partition, time, key, value));
                }
                var written = writer.write(all);
                first = written.get(0).offset();
                next[partition] = written.get(written.size() - 1).offset() + 1;
            }
            return first;
        }

        @Override
        public void close() {
            one.close();
            two.close();
            plain.close();
        }
    }
}
