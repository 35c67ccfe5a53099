package io.mskkraft.rehearsal;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/** Streams one partition as a read_committed consumer gets it, with a small window to look ahead. */
final class PartitionReader {
    private static final Duration POLL = Duration.ofMillis(100);
    private static final long PATIENCE_MS = 60_000;
    private final Consumer<byte[], byte[]> consumer;
    private final TopicPartition partition;
    private final long end;
    private final Deque<ConsumerRecord<byte[], byte[]>> window = new ArrayDeque<>();
    private Iterator<ConsumerRecord<byte[], byte[]>> polled = List.<ConsumerRecord<byte[], byte[]>>of().iterator();
    private boolean finished;

    /**
     * @param consumer a consumer that nobody else uses meanwhile
     * @param from     where reading begins
     * @param end      the offset before which reading ends
     */
    PartitionReader(Consumer<byte[], byte[]> consumer, TopicPartition partition, long from, long end) {
        this.consumer = consumer;
        this.partition = partition;
        this.end = end;
        this.finished = from >= end;
        consumer.assign(List.of(partition));
        consumer.seek(partition, from);
    }

    /** The next record without taking it, or null at the end. */
    ConsumerRecord<byte[], byte[]> peek() {
        return look(1) == 0 ? null : window.peekFirst();
    }

    /** Takes the next record, or null at the end. */
    ConsumerRecord<byte[], byte[]> next() {
        peek();
        return window.pollFirst();
    }

    /** The next records without taking them, at most that many. */
    List<ConsumerRecord<byte[], byte[]>> ahead(int count) {
        look(count);
        return new ArrayList<>(window);
    }

    private int look(int count) {
        while (window.size() < count && advance()) {
            // advance() does the work
        }
        return window.size();
    }

    private boolean advance() {
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (!finished) {
            if (polled.hasNext()) {
                ConsumerRecord<byte[], byte[]> record = polled.next();
                if (record.offset() >= end) {
                    finished = true;
                    return false;
                }
                window.add(record);
                return true;
            }
            if (consumer.position(partition) >= end) {
                finished = true;
            } else if (System.currentTimeMillis() > deadline) {
                throw new IllegalStateException(
                        partition + " gives nothing from " + consumer.position(partition) + " on, its end is " + end);
            } else {
                polled = consumer.poll(POLL).records(partition).iterator();
            }
        }
        return false;
    }
}
