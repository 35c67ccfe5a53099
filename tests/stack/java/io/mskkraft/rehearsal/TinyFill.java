package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * One batch of a great many tiny records in each partition. The amount is not scaled.
 *
 * @param codec   the producer's codec
 * @param records records of the batch
 */
record TinyFill(String codec, int records) implements TopicSpec.Filler {
    /** More than the records take before compression. */
    private static final int BATCH_BYTES = 8 << 20;

    @Override
    public void fill(TopicSpec.Filling filling, TopicSpec topic) throws Exception {
        List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>(records * topic.partitions());
        for (int partition = 0; partition < topic.partitions(); partition++) {
            for (int i = 0; i < records; i++) {
                byte[] value = Seeded.utf8(Integer.toString(i));
                all.add(new ProducerRecord<>(topic.name(), partition, Seeded.BASE_TIME_MS + i, null, value));
            }
        }
        try (BatchWriter writer = new BatchWriter(filling.bootstrap(), codec, BATCH_BYTES)) {
            writer.write(all);
        }
    }
}
