package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;

/**
 * One producer of {@link LiveProducers}, idempotent or transactional, that can be moved from one cluster to another
 * and continues its sequence numbers there.
 */
final class LiveStream {
    private static final int RECORDS_OF_A_TRANSACTION = 6;
    private static final int ABORTED_TRANSACTION = 5;
    private final String name;
    private final boolean transactional;
    private final List<String> topics;
    private final Map<String, Integer> partitions = new HashMap<>();
    private final Map<String, Long> sequences = new HashMap<>();
    private final LiveStats stats;
    private final List<LiveLog.Line> inTransaction = new ArrayList<>();
    private KafkaProducer<byte[], byte[]> producer;
    private String cluster = "";
    private boolean open;
    private long transactions;
    private long turn;

    /**
     * @param name          what the records say their producer is
     * @param transactional whether records go out in small transactions, of which every fifth is aborted
     */
    LiveStream(String name, boolean transactional, List<String> topics, LiveStats stats) {
        this.name = name;
        this.transactional = transactional;
        this.topics = topics;
        this.stats = stats;
    }

    /** Starts producing to a cluster; the stream has to be drained before. */
    void connect(String toCluster, String bootstrap) {
        close();
        cluster = toCluster;
        Map<String, Object> config = new HashMap<>();
        config.put(ProducerConfig.LINGER_MS_CONFIG, 5);
        config.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, transactional ? "none" : "lz4");
        if (transactional) {
            config.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, name);
        }
        producer = Clients.producer(bootstrap, config);
        if (transactional) {
            producer.initTransactions();
        }
        for (String topic : topics) {
            partitions.put(topic, producer.partitionsFor(topic).size());
        }
    }

    /** Where it produces to, empty before the first connection. */
    String cluster() {
        return cluster;
    }

    /** Sends one record; a full transaction is ended. */
    void sendOne() {
        String topic = topics.get((int) (turn % topics.size()));
        int partition = (int) (turn / topics.size() % partitions.get(topic));
        turn++;
        boolean aborts = transactional && transactions % ABORTED_TRANSACTION == ABORTED_TRANSACTION - 1;
        long seq = sequences.merge((aborts ? "aborted " : "") + topic + "/" + partition, 1L, Long::sum) - 1;
        LiveRecord record = new LiveRecord(aborts, name, topic, partition, seq);
        byte[] key = Seeded.utf8("live-" + seq % 50);
        if (transactional && !open) {
            producer.beginTransaction();
            open = true;
        }
        producer.send(new ProducerRecord<>(topic, partition, key, record.value()), (written, failure) ->
                sent(record, failure == null ? written.offset() : -1, failure));
        if (transactional && turn % RECORDS_OF_A_TRANSACTION == 0) {
            endTransaction();
        }
    }

    private void sent(LiveRecord record, long offset, Exception failure) {
        String outcome = record.aborted() ? "aborted" : failure == null ? "acked" : "unknown";
        LiveLog.Line line = new LiveLog.Line(outcome, record.topic(), record.partition(), name, record.seq(), offset,
                cluster, System.currentTimeMillis());
        if (!transactional) {
            stats.add(line);
            return;
        }
        synchronized (inTransaction) {
            inTransaction.add(line);
        }
    }

    /** Ends the open transaction, if any, and waits until every record has its outcome. */
    void drain() {
        if (producer == null) {
            return;
        }
        if (transactional) {
            endTransaction();
        } else {
            producer.flush();
        }
    }

    /** Commits or aborts; only records of a committed transaction count as acknowledged. */
    private void endTransaction() {
        if (!open) {
            return;
        }
        open = false;
        boolean aborts = transactions++ % ABORTED_TRANSACTION == ABORTED_TRANSACTION - 1;
        boolean certain = true;
        try {
            producer.flush();
            if (aborts) {
                producer.abortTransaction();
            } else {
                producer.commitTransaction();
            }
        } catch (KafkaException failure) {
            certain = false;
            stats.failed(failure);
        }
        synchronized (inTransaction) {
            for (LiveLog.Line line : inTransaction) {
                // An aborted record stays one even if the marker's fate is unclear: nothing will commit it.
                stats.add(certain || aborts ? line : withOutcome(line, "unknown"));
            }
            inTransaction.clear();
        }
        if (!certain) {
            throw new KafkaException(name + " cannot end a transaction");
        }
    }

    private static LiveLog.Line withOutcome(LiveLog.Line line, String outcome) {
        return new LiveLog.Line(outcome, line.topic(), line.partition(), line.producer(), line.seq(), line.offset(),
                line.cluster(), line.timeMs());
    }

    /** Closes the producer. */
    void close() {
        if (producer != null) {
            producer.close();
            producer = null;
        }
    }
}
