package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/**
 * A producer whose batch boundaries are chosen by the caller: nothing is sent before {@link #write} ends, so the
 * records of one call that go to one partition are one record batch (as long as they fit {@code batchBytes}).
 */
final class BatchWriter implements AutoCloseable {
    /** Longer than any load runs, so that only a flush sends. */
    private static final int NEVER_LINGER_MS = 600_000;

    private static final int BUFFER_BYTES = 96 << 20;
    private final KafkaProducer<byte[], byte[]> producer;

    /** A writer outside of transactions. */
    BatchWriter(String bootstrap, String codec, int batchBytes) {
        this(bootstrap, codec, batchBytes, null);
    }

    /** A writer for topics in a format before Kafka 0.11, which has no room for an idempotent producer's numbers. */
    static BatchWriter forOldFormats(String bootstrap, String codec, int batchBytes) {
        Map<String, Object> config = config(codec, batchBytes);
        config.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, false);
        return new BatchWriter(Clients.producer(bootstrap, config));
    }

    private BatchWriter(KafkaProducer<byte[], byte[]> producer) {
        this.producer = producer;
    }

    /**
     * @param codec           the producer's {@code compression.type}
     * @param batchBytes      the most bytes of one batch before compression
     * @param transactionalId null, or the id of a transactional producer that is initialised here
     */
    BatchWriter(String bootstrap, String codec, int batchBytes, String transactionalId) {
        Map<String, Object> config = config(codec, batchBytes);
        if (transactionalId != null) {
            config.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, transactionalId);
        }
        producer = Clients.producer(bootstrap, config);
        if (transactionalId != null) {
            producer.initTransactions();
        }
    }

    private static Map<String, Object> config(String codec, int batchBytes) {
        Map<String, Object> config = new HashMap<>();
        config.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, codec);
        config.put(ProducerConfig.BATCH_SIZE_CONFIG, batchBytes);
        config.put(ProducerConfig.LINGER_MS_CONFIG, NEVER_LINGER_MS);
        config.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 2 * NEVER_LINGER_MS);
        config.put(ProducerConfig.BUFFER_MEMORY_CONFIG, (long) BUFFER_BYTES);
        config.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, 4 << 20);
        return config;
    }

    /** Writes the records, one batch for each partition among them, and waits until all are acknowledged. */
    List<RecordMetadata> write(List<ProducerRecord<byte[], byte[]>> records)
            throws InterruptedException, ExecutionException {
        List<Future<RecordMetadata>> sent = new ArrayList<>(records.size());
        for (ProducerRecord<byte[], byte[]> record : records) {
            sent.add(producer.send(record));
        }
        producer.flush();
        List<RecordMetadata> written = new ArrayList<>(sent.size());
        for (Future<RecordMetadata> each : sent) {
            written.add(each.get());
        }
        return written;
    }

    /** The producer, for its transaction methods. */
    KafkaProducer<byte[], byte[]> producer() {
        return producer;
    }

    @Override
    public void close() {
        producer.close();
    }
}
