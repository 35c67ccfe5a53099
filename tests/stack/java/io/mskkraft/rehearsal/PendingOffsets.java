package io.mskkraft.rehearsal;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;

/**
 * An application that commits an offset of a group in a transaction, and nothing else. The transaction is open when the file
 * that it was told exists, and is committed on SIGTERM.
 */
public final class PendingOffsets {
    private static final String USAGE =
            "PendingOffsets --bootstrap B --target T --name X --group G --topic T --offset N --file F";
    private static final long POLL_MS = 20;
    private static final int TIMEOUT_MS = 600_000;

    private PendingOffsets() {}

    /** Runs until SIGTERM. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE, Set.of("bootstrap", "target", "name", "group", "topic", "offset", "file"));
        Map<String, Object> transactional = Map.of(
                ProducerConfig.TRANSACTIONAL_ID_CONFIG, args.required("name"),
                ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, TIMEOUT_MS);
        Termination termination = new Termination();
        try (KafkaProducer<byte[], byte[]> producer = Clients.producer(args.required("bootstrap"), transactional)) {
            producer.initTransactions();
            producer.beginTransaction();
            OffsetAndMetadata offset = new OffsetAndMetadata(Long.parseLong(args.required("offset")));
            producer.sendOffsetsToTransaction(
                    Map.of(new TopicPartition(args.required("topic"), 0), offset),
                    new ConsumerGroupMetadata(args.required("group")));
            Files.createFile(Path.of(args.required("file")));
            while (!termination.requested()) {
                Thread.sleep(POLL_MS);
            }
            producer.commitTransaction();
        } finally {
            termination.finished();
        }
    }
}
