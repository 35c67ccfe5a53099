package io.mskkraft.rehearsal;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The consumer groups of the source, standing wherever a group can stand. */
final class SourceGroups {
    private static final int LONGEST_METADATA = 4_000;
    private static final int ATTEMPTS = 100;
    private static final long RETRY_MS = 100;
    private final Admin admin;
    private final TopicSpec.Filling filling;
    private final List<TopicSpec> topics;
    private final Map<TopicPartition, Long> starts;
    private final Map<TopicPartition, Long> ends;
    private final Map<String, String> groups = new TreeMap<>();

    SourceGroups(Admin admin, TopicSpec.Filling filling, List<TopicSpec> topics) throws Exception {
        this.admin = admin;
        this.filling = filling;
        this.topics = topics;
        starts = offsets(OffsetSpec.earliest());
        ends = offsets(OffsetSpec.latest());
    }

    /**
     * Commits for every group; returns the groups and what is special about each.
     *
     * @param whole whether the whole catalogue was loaded; else groups that stand in certain topics are left out
     */
    Map<String, String> commit(boolean whole) throws Exception {
        atTheEnd();
        lagging();
        inHoles();
        manyTopics();
        deletedTopic();
        if (whole) {
            atTransactions();
            onEmptyPartitions();
            belowLogStart();
            metadata();
            realMembers();
            groups.put("settlement-writer", "offset committed by a transactional producer");
        }
        return groups;
    }

    private void atTheEnd() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        for (String topic : List.of("orders", "payments", "iot.telemetry", "streams.orders")) {
            each(topic, (partition, start, end) -> at.put(partition, new OffsetAndMetadata(end)));
        }
        commit("warehouse-loader", "at the log end of four topics, behind all transaction markers", at);
    }

    private void lagging() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        for (String topic : List.of("orders", "clickstream.web", "documents.invoices", "logs.application")) {
            each(topic, (partition, start, end) -> {
                long middle = start + filling.seeded().at(topic, partition.partition(), -7).nextLong(end - start + 1);
                at.put(partition, new OffsetAndMetadata(middle));
            });
        }
        commit("analytics", "lagging, anywhere inside batches", at);
        Map<TopicPartition, OffsetAndMetadata> some = new HashMap<>();
        some.put(new TopicPartition("orders", 3), new OffsetAndMetadata(1));
        some.put(new TopicPartition("orders", 7), new OffsetAndMetadata(0));
        commit("orders.replayer", "on two of twelve partitions, at 0 and 1", some);
    }

    private void inHoles() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        filling.facts().places().forEach((name, place) -> {
            if (name.endsWith(":hole")) {
                at.put(place.partition(), new OffsetAndMetadata(place.offset(), "in a hole"));
            }
        });
        commit("cdc-sink", "on offsets that the log cleaner removed", at);
    }

    private void atTransactions() throws Exception {
        commitAt("fraud-detector", "on aborted data and on control markers",
                "payments:aborted-data", "payments:last-abort-marker", "payments:only-aborted");
        commitAt("fraud-audit", "on a control marker and in the aborted data at a partition's end",
                "payments:control-marker", "payments:last-aborted-data");
        commitAt("settlement-report", "on markers and aborted data of another topic",
                "payments.settlements:control-marker", "payments.settlements:last-abort-marker",
                "payments.settlements:only-aborted");
    }

    private void onEmptyPartitions() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        at.put(new TopicPartition("dlq.orders", 0), new OffsetAndMetadata(0, "nothing yet"));
        at.put(new TopicPartition("bench.source", 13), new OffsetAndMetadata(0));
        at.put(new TopicPartition("streams.orders", 5), new OffsetAndMetadata(0));
        for (String topic : List.of("geo.positions", "streams.orders-by-customer-repartition")) {
            TopicSpec.Place place = filling.facts().place(topic + ":all-deleted");
            at.put(place.partition(), new OffsetAndMetadata(place.offset()));
        }
        commit("idle-readers", "on empty partitions, never written or deleted to the end", at);
    }

    private void belowLogStart() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        each("geo.positions", (partition, start, end) -> at.put(partition, new OffsetAndMetadata(start / 3)));
        each("streams.orders-by-customer-repartition",
                (partition, start, end) -> at.put(partition, new OffsetAndMetadata(start)));
        commit("late-batch", "below the log start, and exactly on it", at);
    }

    private void metadata() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        List<String> texts = List.of("наименование 名前 ✓ \uD83D\uDE80", "{\"host\":\"a\\\"b\",\n\"t\":1}",
                "x".repeat(LONGEST_METADATA), "");
        for (int number = 0; number < texts.size(); number++) {
            TopicPartition partition = new TopicPartition("users.sessions", number);
            at.put(partition, new OffsetAndMetadata(Math.min(ends.get(partition), 17 + number), texts.get(number)));
        }
        commit("team a: отчёты/日次", "a group and metadata in Unicode, quotes, line ends and length", at);
    }

    private void manyTopics() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        for (TopicSpec topic : topics) {
            each(topic.name(), (partition, start, end) -> {
                long place = filling.seeded().at("data-lake", partition.hashCode(), 0).nextLong(end - start + 1);
                at.put(partition, new OffsetAndMetadata(start + place, "lake"));
            });
        }
        commit("data-lake", "on every partition of every topic", at);
    }

    /** The broker forgets offsets of a deleted topic, so this group keeps only its other one. */
    private void deletedTopic() throws Exception {
        String topic = "orders.v1-retired";
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        at.put(new TopicPartition(topic, 0), new OffsetAndMetadata(0, "retired"));
        at.put(new TopicPartition("orders", 1), new OffsetAndMetadata(2));
        commitOnceKnown("orders-v1", "committed a topic that was deleted since", at);
        admin.deleteTopics(List.of(topic)).all().get();
        while (admin.listTopics().names().get().contains(topic)) {
            Thread.sleep(RETRY_MS);
        }
    }

    /** The group's coordinator may learn of a new topic a little later than the client. */
    private void commitOnceKnown(String group, String what, Map<TopicPartition, OffsetAndMetadata> at)
            throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                commit(group, what, at);
                return;
            } catch (ExecutionException e) {
                if (attempt == ATTEMPTS || !(e.getCause() instanceof UnknownTopicOrPartitionException)) {
                    throw e;
                }
                Thread.sleep(RETRY_MS);
            }
        }
    }

    /** Groups that real members formed and left, whose commits carry leader epochs. */
    private void realMembers() {
        for (String group : List.of("order-service", "review-indexer")) {
            String topic = group.equals("order-service") ? "orders" : "cdc.mongo.catalog.reviews";
            try (KafkaConsumer<byte[], byte[]> consumer = Clients.consumer(filling.bootstrap(), group)) {
                consumer.subscribe(Set.of(topic));
                int partitions = topics.stream().filter(t -> t.name().equals(topic)).findFirst().orElseThrow()
                        .partitions();
                Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
                while (read.size() < partitions) {
                    consumer.poll(Duration.ofMillis(100)).forEach(record -> read.put(
                            new TopicPartition(record.topic(), record.partition()),
                            new OffsetAndMetadata(record.offset() + 1, record.leaderEpoch(), "")));
                }
                consumer.commitSync(read);
            }
            groups.put(group, "formed by a real member, which read a part and left");
        }
    }

    private void commitAt(String group, String what, String... places) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> at = new HashMap<>();
        for (String name : places) {
            TopicSpec.Place place = filling.facts().place(name);
            at.put(place.partition(), new OffsetAndMetadata(place.offset(), name));
        }
        commit(group, what, at);
    }

    private void commit(String group, String what, Map<TopicPartition, OffsetAndMetadata> at) throws Exception {
        admin.alterConsumerGroupOffsets(group, at).all().get();
        groups.put(group, what);
    }

    private interface Visit {
        void partition(TopicPartition partition, long start, long end);
    }

    private void each(String topic, Visit visit) {
        for (TopicPartition partition : ends.keySet()) {
            if (partition.topic().equals(topic)) {
                visit.partition(partition, starts.get(partition), ends.get(partition));
            }
        }
    }

    private Map<TopicPartition, Long> offsets(OffsetSpec which) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (TopicSpec topic : topics) {
            for (int partition = 0; partition < topic.partitions(); partition++) {
                wanted.put(topic.partition(partition), which);
            }
        }
        Map<TopicPartition, Long> found = new HashMap<>();
        ListOffsetsOptions committed = new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
        for (Map.Entry<TopicPartition, ListOffsetsResultInfo> each :
                admin.listOffsets(wanted, committed).all().get().entrySet()) {
            found.put(each.getKey(), each.getValue().offset());
        }
        return found;
    }
}
