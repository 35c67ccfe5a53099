package io.mskkraft.rehearsal;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/**
 * A member of a consumer group that goes on during the migration. It obeys {@code switch-consumers} in the shared
 * directory ({@code source}, {@code paused}, {@code target}), answers in {@code acks/<name>} with the order's text and
 * logs every live record to {@code <group>@<name>.consumed}. At SIGTERM it reads on to the present log end first.
 */
public final class LiveConsumer {
    private static final String USAGE =
            "LiveConsumer --bootstrap B --target T --dir D --group G --topics a,b,c --name X";
    private static final Duration POLL = Duration.ofMillis(50);
    private static final long CATCH_UP_MS = 30_000;
    private final LiveFiles files;
    private final LiveLog log;
    private final String name;
    private final String group;
    private final List<String> topics;
    private final Map<String, String> bootstraps;
    private final Termination termination = new Termination();
    private final Set<String> withoutCommit = new TreeSet<>();
    private final Map<String, Long> counts = new LinkedHashMap<>();
    private KafkaConsumer<byte[], byte[]> consumer;
    private String cluster = "";
    private String obeyed = "";

    private LiveConsumer(Args args, LiveFiles files, LiveLog log) {
        this.files = files;
        this.log = log;
        name = args.required("name");
        group = args.required("group");
        topics = args.list("topics");
        bootstraps = Map.of("source", args.required("bootstrap"), "target", args.required("target"));
    }

    /** Consumes until SIGTERM, then prints a summary in JSON. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE, Set.of("bootstrap", "target", "dir", "group", "topics", "name"));
        LiveFiles files = new LiveFiles(args.required("dir"));
        String log = args.required("group") + "@" + args.required("name") + ".consumed";
        try (LiveLog lines = new LiveLog(files.file(log))) {
            LiveConsumer live = new LiveConsumer(args, files, lines);
            try {
                live.run();
                System.out.println(new ObjectMapper().writeValueAsString(live.summary()));
            } finally {
                live.termination.finished();
            }
        }
    }

    private void run() throws Exception {
        while (!termination.requested()) {
            obey(files.consumers());
            if (consumer == null) {
                Thread.sleep(POLL.toMillis());
            } else {
                take(consumer.poll(POLL));
            }
        }
        if (consumer != null) {
            catchUp();
            leave();
        }
    }

    /** Carries out an order that is new and acknowledges it. */
    private void obey(String order) throws Exception {
        if (order.equals(obeyed)) {
            return;
        }
        String[] words = order.split("\\s+");
        String state = words[words.length - 1];
        if (!state.equals(cluster)) {
            leave();
            if (bootstraps.containsKey(state)) {
                join(state);
            } else if (!state.equals("paused")) {
                throw new IllegalArgumentException("switch-consumers is not understood: " + order);
            }
        }
        obeyed = order;
        files.acknowledge(name, order);
        System.err.println(name + ": " + order);
    }

    private void join(String toCluster) {
        consumer = Clients.consumer(bootstraps.get(toCluster), group);
        consumer.subscribe(topics, new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
                consumer.commitSync();
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> assigned) {}
        });
        topics.forEach(topic -> log.write(new LiveLog.Line(LiveLog.SUBSCRIBED, topic, -1, name, -1, -1, toCluster,
                System.currentTimeMillis())));
        if (toCluster.equals("target")) {
            noteMissingCommits();
        }
        cluster = toCluster;
    }

    /** Notes partitions for which the migration left no position, from where this group would start again. */
    private void noteMissingCommits() {
        for (String topic : topics) {
            Set<TopicPartition> all = new HashSet<>();
            consumer.partitionsFor(topic).forEach(info -> all.add(new TopicPartition(topic, info.partition())));
            consumer.committed(all).forEach((partition, position) -> {
                if (position == null) {
                    withoutCommit.add(partition.toString());
                }
            });
        }
    }

    /** Commits where it stands and leaves the group. */
    private void leave() {
        if (consumer != null) {
            while (!commit()) {
                take(consumer.poll(POLL));
            }
            consumer.close();
            consumer = null;
            cluster = "";
        }
    }

    private void take(ConsumerRecords<byte[], byte[]> records) {
        if (records.isEmpty()) {
            return;
        }
        for (ConsumerRecord<byte[], byte[]> record : records) {
            if (record.headers().lastHeader(LiveRecord.SENTINEL_HEADER) != null) {
                counts.merge("sentinels_on_" + cluster, 1L, Long::sum);
                continue;
            }
            Optional<LiveRecord> live = LiveRecord.of(record.value());
            counts.merge((live.isPresent() ? "live_on_" : "other_on_") + cluster, 1L, Long::sum);
            live.ifPresent(it -> log.write(new LiveLog.Line(it.aborted() ? "read-aborted" : "read", record.topic(),
                    record.partition(), it.producer(), it.seq(), record.offset(), cluster,
                    System.currentTimeMillis())));
        }
        log.flush();
        commit();
    }

    /** Commits; false while the group changes hands, when the listener commits what is taken away. */
    private boolean commit() {
        try {
            consumer.commitSync();
            return true;
        } catch (RebalanceInProgressException e) {
            return false;
        }
    }

    /** Reads up to what is the log end now. */
    private void catchUp() {
        long deadline = System.currentTimeMillis() + CATCH_UP_MS;
        while (consumer.assignment().isEmpty() && System.currentTimeMillis() < deadline) {
            take(consumer.poll(POLL));
        }
        Map<TopicPartition, Long> ends = consumer.endOffsets(consumer.assignment());
        while (System.currentTimeMillis() < deadline
                && ends.entrySet().stream().anyMatch(end -> consumer.assignment().contains(end.getKey())
                        && consumer.position(end.getKey()) < end.getValue())) {
            take(consumer.poll(POLL));
        }
    }

    private Map<String, Object> summary() {
        Map<String, Object> summary = new LinkedHashMap<>();
        summary.put("name", name);
        summary.put("group", group);
        summary.putAll(counts);
        summary.put("without_commit_on_target", withoutCommit);
        return summary;
    }
}
