package io.mskkraft.rehearsal;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Creates and fills the source of a rehearsal; see {@link Catalogue} for what it holds. */
public final class LoadSource {
    private static final String USAGE =
            "LoadSource --bootstrap B --seed N [--scale F] [--topics a,b] [--no-acls] [--old-formats]";
    private static final int MOST_REPLICAS = 3;
    private static final int THREADS = 6;

    private LoadSource() {}

    /** Fills the source and prints a summary in JSON on stdout; progress goes to stderr. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE, Set.of("bootstrap", "seed", "scale", "topics", "no-acls", "old-formats"));
        long started = System.nanoTime();
        String bootstrap = args.required("bootstrap");
        Map<String, Object> summary = new LinkedHashMap<>();
        try (Admin admin = Clients.admin(bootstrap)) {
            int brokers = admin.describeCluster().nodes().get().size();
            int replicas = Math.min(MOST_REPLICAS, brokers);
            boolean old = args.flag("old-formats");
            List<String> wanted = args.list("topics");
            List<TopicSpec> topics = (old ? Catalogue.oldFormats() : Catalogue.topics(replicas)).stream()
                    .filter(topic -> wanted.isEmpty() || wanted.contains(topic.name())).toList();
            Seeded seeded = new Seeded((long) args.number("seed", 1));
            TopicSpec.Filling filling =
                    new TopicSpec.Filling(bootstrap, seeded, args.number("scale", 1), new TopicSpec.Facts());
            createTopics(admin, topics, replicas);
            progress(started, "topics created");
            fill(filling, topics, started);
            progress(started, "records written; waiting for the log cleaner");
            Map<String, Integer> holes = new HoleWatch(filling).settle();
            progress(started, "batches with holes: " + holes);
            // Groups and ACLs are those of the catalogue's topics.
            Map<String, String> groups =
                    old ? Map.of() : new SourceGroups(admin, filling, topics).commit(wanted.isEmpty());
            progress(started, groups.size() + " groups committed");
            int acls = old || args.flag("no-acls") ? 0 : SourceAcls.create(admin);
            summary.put("topics", topics.size());
            summary.put("partitions", topics.stream().mapToInt(TopicSpec::partitions).sum());
            summary.put("replication_factor", replicas);
            addSizes(admin, topics, summary);
            summary.put("groups", groups);
            summary.put("acls", acls);
            summary.put("batches_with_holes", new TreeMap<>(holes));
            summary.put("seconds", seconds(started));
        }
        System.out.println(new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(summary));
    }

    private static void createTopics(Admin admin, List<TopicSpec> topics, int replicas) throws Exception {
        List<NewTopic> wanted = new ArrayList<>();
        for (TopicSpec topic : topics) {
            wanted.add(new NewTopic(topic.name(), topic.partitions(), (short) replicas).configs(topic.configs()));
        }
        admin.createTopics(wanted).all().get();
        while (!allHaveLeaders(admin, topics)) {
            Thread.sleep(200);
        }
    }

    private static boolean allHaveLeaders(Admin admin, List<TopicSpec> topics) throws Exception {
        List<String> names = topics.stream().map(TopicSpec::name).toList();
        try {
            for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
                for (TopicPartitionInfo partition : topic.partitions()) {
                    Node leader = partition.leader();
                    if (leader == null || leader.isEmpty()) {
                        return false;
                    }
                }
            }
            return true;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof UnknownTopicOrPartitionException) {
                return false;
            }
            throw e;
        }
    }

    private static void fill(TopicSpec.Filling filling, List<TopicSpec> topics, long started) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        try {
            Map<String, Future<?>> running = new LinkedHashMap<>();
            // The topics to be compacted go first, so that the cleaner works while the others are written.
            Comparator<TopicSpec> order = Comparator.comparing(topic -> !topic.configs().getOrDefault("cleanup.policy", "").contains("compact"));
            for (TopicSpec topic : topics.stream().sorted(order).toList()) {
                running.put(topic.name(), pool.submit(() -> {
                    long from = System.nanoTime();
                    topic.filler().fill(filling, topic);
                    progress(started, topic.name() + " took " + seconds(from) + " s");
                    return null;
                }));
            }
            for (Future<?> each : running.values()) {
                each.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    /** Adds what the topics hold: end offsets of all partitions and bytes of the first replicas on disk. */
    private static void addSizes(Admin admin, List<TopicSpec> topics, Map<String, Object> summary) throws Exception {
        Map<String, Long> bytes = new TreeMap<>();
        var brokers = admin.describeCluster().nodes().get().stream().map(Node::id).toList();
        for (Map<String, LogDirDescription> broker : admin.describeLogDirs(brokers).allDescriptions().get().values()) {
            for (LogDirDescription dir : broker.values()) {
                dir.replicaInfos().forEach((partition, replica) ->
                        bytes.merge(partition.topic(), replica.size(), Long::sum));
            }
        }
        List<Map<String, Object>> each = new ArrayList<>();
        long total = 0;
        int replicas = (int) summary.get("replication_factor");
        for (TopicSpec topic : topics) {
            long size = bytes.getOrDefault(topic.name(), 0L) / replicas;
            total += size;
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("topic", topic.name());
            line.put("partitions", topic.partitions());
            line.put("bytes", size);
            line.put("holds", topic.holds());
            each.add(line);
        }
        summary.put("bytes", total);
        summary.put("content", each);
    }

    private static double seconds(long since) {
        return Math.round((System.nanoTime() - since) / 1e7) / 100.0;
    }

    private static void progress(long started, String what) {
        System.err.println("[" + seconds(started) + " s] " + what);
    }
}
