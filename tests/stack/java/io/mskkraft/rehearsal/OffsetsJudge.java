package io.mskkraft.rehearsal;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;

/**
 * Checks downloaded offset maps against both clusters, for every source offset of every partition: the record that a
 * read_committed consumer gets next from a source offset has to be the one that it gets next from the translated offset.
 * The source has to stand still.
 */
public final class OffsetsJudge {
    private static final String USAGE = "OffsetsJudge --source B --target T --maps D";
    /** Offsets below the log start that are tried too. */
    private static final long BELOW = 3;

    private static final int PRINTED_OF_A_PARTITION = 5;
    private final Differences differences = new Differences(PRINTED_OF_A_PARTITION, System.out::println);
    private final Map<String, Long> counts = new TreeMap<>();

    private OffsetsJudge() {}

    /** Checks every map of a folder and prints a summary in JSON; ends with 1 if an offset is wrong. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE, Set.of("source", "target", "maps"));
        OffsetsJudge judge = new OffsetsJudge();
        try (Admin admin = Clients.admin(args.required("source"));
                KafkaConsumer<byte[], byte[]> source = Clients.consumer(args.required("source"), null);
                KafkaConsumer<byte[], byte[]> target = Clients.consumer(args.required("target"), null)) {
            for (Path file : maps(Path.of(args.required("maps")))) {
                judge.one(new OffsetMapFile(file), admin, source, target);
            }
        }
        Map<String, Object> summary = new LinkedHashMap<>(judge.counts);
        summary.put("differences", judge.differences.total());
        summary.put("differences_by_kind", judge.differences.kinds());
        System.out.println(new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(summary));
        System.exit(judge.differences.total() == 0 ? 0 : 1);
    }

    private static List<Path> maps(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().endsWith(".csv")).sorted().toList();
        }
    }

    private void one(
            OffsetMapFile map, Admin admin, KafkaConsumer<byte[], byte[]> source, KafkaConsumer<byte[], byte[]> target)
            throws Exception {
        TopicPartition partition = map.partition();
        long start = offset(admin, partition, OffsetSpec.earliest());
        long end = offset(admin, partition, OffsetSpec.latest());
        if (map.sourceNext() != end || map.sourceStart() > start) {
            add(partition, "reach", "the map covers " + map.sourceStart() + " to " + map.sourceNext()
                    + ", the source has " + start + " to " + end);
            return;
        }
        count("partitions", 1);
        count("runs", map.runs());
        count("partitions_with_a_log_start", start > 0 ? 1 : 0);
        PartitionReader ours = new PartitionReader(source, partition, start, end);
        PartitionReader theirs = new PartitionReader(target, partition, 0, map.targetNext());
        long next = Math.max(0, start - BELOW);
        for (ConsumerRecord<byte[], byte[]> record = ours.next(); record != null; record = ours.next()) {
            ConsumerRecord<byte[], byte[]> there = theirs.next();
            if (there == null || RecordText.difference(record, there) != null) {
                add(partition, "record", RecordText.show(record) + " became " + RecordText.show(there));
                return;
            }
            count("records", 1);
            count("offsets_without_a_record", record.offset() - Math.max(next, start));
            for (; next <= record.offset(); next++) {
                translates(map, next, there.offset());
            }
        }
        if (theirs.next() != null) {
            add(partition, "record", "the target has more records before " + map.targetNext());
        }
        count("offsets_without_a_record", end - Math.max(next, start));
        for (; next <= end; next++) {
            translates(map, next, map.targetNext());
        }
    }

    private void translates(OffsetMapFile map, long source, long expected) {
        count("offsets", 1);
        long found = map.translate(source);
        if (found != expected) {
            add(map.partition(), "offset", source + " is translated to " + found + ", the same record is at " + expected);
        }
    }

    private void add(TopicPartition partition, String kind, String detail) {
        differences.add(partition.topic() + "/" + partition.partition(), kind, detail);
    }

    private void count(String what, long by) {
        counts.merge(what, by, Long::sum);
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec which) throws Exception {
        ListOffsetsOptions committed = new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
        return admin.listOffsets(Map.of(partition, which), committed).all().get().get(partition).offset();
    }
}
