package io.mskkraft.rehearsal;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;

/**
 * Says whether a target holds what its source holds, independently of what copied it: with Kafka's own consumer, admin
 * client and log classes only.
 */
public final class Judge {
    private final JudgeOptions options;
    private final Differences differences;

    private Judge(JudgeOptions options, Consumer<String> printer) {
        this.options = options;
        this.differences = new Differences(options.print, printer);
    }

    /** What came out. */
    record Verdict(Map<String, Object> summary, Differences differences) {
        boolean equal() {
            return differences.total() == 0;
        }
    }

    /** Compares two clusters and prints differences and a summary in JSON; ends with 1 if anything differs. */
    public static void main(String[] argv) throws Exception {
        Verdict verdict = run(new JudgeOptions(argv), System.out::println);
        ObjectMapper json = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
        System.out.println(json.writeValueAsString(verdict.summary()));
        System.exit(verdict.equal() ? 0 : 1);
    }

    /** Compares two clusters; differences are also given to the printer as they are found. */
    static Verdict run(JudgeOptions options, Consumer<String> printer) throws Exception {
        return new Judge(options, printer).judge();
    }

    private Verdict judge() throws Exception {
        long started = System.nanoTime();
        Map<String, Object> summary = new LinkedHashMap<>();
        try (Admin source = Clients.admin(options.source);
                Admin target = Clients.admin(options.target)) {
            TopologyJudge topology = new TopologyJudge(options, differences, source, target);
            Map<String, Integer> topics = topology.topics();
            Set<TopicPartition> partitions = new HashSet<>();
            topics.forEach((topic, count) -> {
                for (int partition = 0; partition < count; partition++) {
                    partitions.add(new TopicPartition(topic, partition));
                }
            });
            GroupJudge groups = new GroupJudge(options, differences, source, target);
            Map<TopicPartition, RecordJudge.Range> sourceRanges = ranges(source, partitions, options.uptoSource);
            Map<TopicPartition, RecordJudge.Range> targetRanges = ranges(target, partitions, Map.of());
            RecordJudge records = new RecordJudge(options, differences);
            summary.put("topics", topics.size());
            if (!options.skip.contains("records")) {
                compareRecords(records, groups, sourceRanges, targetRanges);
                summary.put("records", records.totals());
                summary.put("source_batches", records.shape());
            }
            if (!options.skip.contains("groups")) {
                groups.compare(partitions, records.ordinals(), sourceRanges, targetRanges);
                summary.put("groups", groups.totals());
            }
            if (!options.skip.contains("configs")) {
                summary.put("configs", topology.configs(topics.keySet()));
            }
            if (!options.skip.contains("acls")) {
                summary.put("acls", topology.acls());
            }
        }
        summary.put("seconds", Math.round((System.nanoTime() - started) / 1e7) / 100.0);
        summary.put("differences", differences.total());
        summary.put("differences_by_kind", differences.kinds());
        summary.put("verdict", differences.total() == 0 ? "equal" : "different");
        return new Verdict(summary, differences);
    }

    private void compareRecords(
            RecordJudge records,
            GroupJudge groups,
            Map<TopicPartition, RecordJudge.Range> sourceRanges,
            Map<TopicPartition, RecordJudge.Range> targetRanges)
            throws Exception {
        Queue<TopicPartition> todo = new ConcurrentLinkedQueue<>(sourceRanges.keySet());
        ExecutorService pool = Executors.newFixedThreadPool(options.threads);
        try {
            List<Future<?>> workers = new ArrayList<>();
            for (int i = 0; i < options.threads; i++) {
                workers.add(pool.submit(() -> {
                    try (KafkaConsumer<byte[], byte[]> source = Clients.consumer(options.source, null);
                            KafkaConsumer<byte[], byte[]> target = Clients.consumer(options.target, null)) {
                        for (TopicPartition next = todo.poll(); next != null; next = todo.poll()) {
                            records.compare(next, source, target, sourceRanges.get(next), targetRanges.get(next),
                                    groups.sourceOffsets(next), groups.targetOffsets(next));
                        }
                    }
                    return null;
                }));
            }
            for (Future<?> worker : workers) {
                worker.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    /** From the log start to the last stable offset, or to the given end. */
    private static Map<TopicPartition, RecordJudge.Range> ranges(
            Admin admin, Collection<TopicPartition> partitions, Map<String, Long> upto) throws Exception {
        Map<TopicPartition, Long> starts = offsets(admin, partitions, OffsetSpec.earliest());
        Map<TopicPartition, Long> ends = offsets(admin, partitions, OffsetSpec.latest());
        Map<TopicPartition, RecordJudge.Range> ranges = new HashMap<>();
        for (TopicPartition partition : partitions) {
            String name = partition.topic() + "/" + partition.partition();
            long end = upto.getOrDefault(name, ends.get(partition));
            ranges.put(partition, new RecordJudge.Range(starts.get(partition), end));
        }
        return ranges;
    }

    private static Map<TopicPartition, Long> offsets(
            Admin admin, Collection<TopicPartition> partitions, OffsetSpec which) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        partitions.forEach(partition -> wanted.put(partition, which));
        Map<TopicPartition, Long> found = new HashMap<>();
        ListOffsetsOptions committed = new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
        admin.listOffsets(wanted, committed).all().get().forEach((partition, offset) ->
                found.put(partition, offset.offset()));
        return found;
    }
}
