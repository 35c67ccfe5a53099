package io.mskkraft.rehearsal;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** A small and slow copier, for the self test of the judge only. */
final class SelfTestCopier implements AutoCloseable {
    private static final int BATCH_RECORDS = 50;
    private final String target;
    private final List<Path> sourceLogs;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Map<String, BatchWriter> writers = new HashMap<>();

    SelfTestCopier(String source, String target, List<Path> sourceLogs) {
        this.target = target;
        this.sourceLogs = sourceLogs;
        consumer = Clients.consumer(source, null);
    }

    /** Where a record of the source came to stand on the target. */
    record Copied(long sourceOffset, long targetOffset) {}

    /**
     * Copies a partition; returns where its records stand on both sides, of use only if nothing was altered.
     *
     * @param codec null for the codec that each record has on the source
     * @param alter what is done to the records on the way
     */
    List<Copied> copy(TopicPartition partition, String codec, UnaryOperator<List<ProducerRecord<byte[], byte[]>>> alter)
            throws Exception {
        List<ConsumerRecord<byte[], byte[]>> read = read(partition);
        CodecIndex index = new CodecIndex(sourceLogs, partition);
        Map<ProducerRecord<byte[], byte[]>, String> codecs = new IdentityHashMap<>();
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        String last = "none";
        for (ConsumerRecord<byte[], byte[]> record : read) {
            last = codec != null ? codec : index.codec(record.offset());
            ProducerRecord<byte[], byte[]> same = new ProducerRecord<>(partition.topic(), partition.partition(),
                    record.timestamp(), record.key(), record.value(), record.headers());
            records.add(same);
            codecs.put(same, last);
        }
        List<ProducerRecord<byte[], byte[]>> altered = alter.apply(records);
        List<Copied> copied = new ArrayList<>();
        int at = 0;
        while (at < altered.size()) {
            String with = codecs.getOrDefault(altered.get(at), last);
            int from = at;
            while (at < altered.size() && at - from < BATCH_RECORDS
                    && with.equals(codecs.getOrDefault(altered.get(at), last))) {
                at++;
            }
            for (var written : writer(with).write(altered.subList(from, at))) {
                int number = copied.size();
                copied.add(new Copied(number < read.size() ? read.get(number).offset() : -1, written.offset()));
            }
        }
        return copied;
    }

    /** The target offset of the first copied record at or after a source offset, or the target's end. */
    static long translate(List<Copied> copied, long offset) {
        return copied.stream().filter(each -> each.sourceOffset() >= offset).findFirst()
                .map(Copied::targetOffset)
                .orElse(copied.isEmpty() ? 0 : copied.get(copied.size() - 1).targetOffset() + 1);
    }

    private BatchWriter writer(String codec) {
        return writers.computeIfAbsent(codec, any -> new BatchWriter(target, codec, 256 << 10));
    }

    private List<ConsumerRecord<byte[], byte[]>> read(TopicPartition partition) {
        long from = consumer.beginningOffsets(List.of(partition)).get(partition);
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        PartitionReader reader = new PartitionReader(consumer, partition, from, end);
        List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
        while (reader.peek() != null) {
            all.add(reader.next());
        }
        return all;
    }

    @Override
    public void close() {
        consumer.close();
        writers.values().forEach(BatchWriter::close);
    }
}
