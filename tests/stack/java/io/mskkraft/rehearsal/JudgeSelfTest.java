package io.mskkraft.rehearsal;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * Proves that the {@link Judge} finds what it is there to find: every case copies a small topic, alters one thing, and
 * demands exactly the differences that follow. Creates topics, groups and rules whose names begin with
 * {@code selftest}; both clusters need an authorizer. With {@code --copy-whole} it only copies the whole source to an
 * empty target, the simple way, so that a judge can be run on a large right copy.
 */
public final class JudgeSelfTest {
    private static final String USAGE =
            "JudgeSelfTest --source B --target T --source-logs dir,dir --target-logs dir,dir [--copy-whole]";
    private static final UnaryOperator<List<ProducerRecord<byte[], byte[]>>> UNALTERED = all -> all;
    private final Args args;
    private final Admin source;
    private final Admin target;
    private final SelfTestCopier copier;
    private final List<String> failures = new ArrayList<>();
    private int cases;

    private JudgeSelfTest(Args args, Admin source, Admin target, SelfTestCopier copier) {
        this.args = args;
        this.source = source;
        this.target = target;
        this.copier = copier;
    }

    /** Runs every case on two clusters; ends with 1 if the judge was wrong in any. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE, Set.of("source", "target", "source-logs", "target-logs", "copy-whole"));
        List<Path> logs = args.list("source-logs").stream().map(Path::of).toList();
        JudgeSelfTest test;
        try (Admin source = Clients.admin(args.required("source"));
                Admin target = Clients.admin(args.required("target"));
                SelfTestCopier copier =
                        new SelfTestCopier(args.required("source"), args.required("target"), logs)) {
            if (args.flag("copy-whole")) {
                new SelfTestWhole(source, target, copier).copy();
                return;
            }
            test = new JudgeSelfTest(args, source, target, copier);
            for (SelfTestCase each : SelfTestCase.all()) {
                test.records(each);
            }
            test.transactions();
            test.liveRecords();
            test.missingIsIgnoredWhereTold();
            test.topology();
            test.rules();
        }
        System.out.println(test.cases + " cases, " + test.failures.size() + " failures");
        test.failures.forEach(System.out::println);
        System.exit(test.failures.isEmpty() ? 0 : 1);
    }

    private void records(SelfTestCase each) throws Exception {
        String topic = oddTopic(each.name());
        copier.copy(new TopicPartition(topic, 0), each.codec(), each.alter());
        copier.copy(new TopicPartition(topic, 1), null, UNALTERED);
        expect(each.name(), topic, each.kinds());
    }

    /** A topic that exists on both sides and has odd records on the source. */
    private String oddTopic(String name) throws Exception {
        TopicSpec topic = create(name, 2, Map.of(), Map.of(), new OddFill("lz4", 8));
        topic.filler().fill(filling(), topic);
        return topic.name();
    }

    private TopicSpec create(
            String name,
            int partitions,
            Map<String, String> sourceConfigs,
            Map<String, String> targetConfigs,
            TopicSpec.Filler filler)
            throws Exception {
        TopicSpec topic = new TopicSpec("selftest." + name, partitions, sourceConfigs, filler, "self test");
        Map<String, String> forSource = new HashMap<>(sourceConfigs);
        Map<String, String> forTarget = new HashMap<>(targetConfigs);
        // The records' timestamps are fixed, and a broker's default retention would soon remove them.
        forSource.put("retention.ms", "-1");
        forTarget.put("retention.ms", "-1");
        source.createTopics(List.of(new NewTopic(topic.name(), partitions, (short) 1).configs(forSource)))
                .all().get();
        target.createTopics(List.of(new NewTopic(topic.name(), partitions, (short) 1).configs(forTarget)))
                .all().get();
        return topic;
    }

    private TopicSpec.Filling filling() {
        return new TopicSpec.Filling(args.required("source"), new Seeded(5), 1, new TopicSpec.Facts());
    }

    /** Other offsets on the target because of markers and aborted data, and groups that stand among them. */
    private void transactions() throws Exception {
        TopicSpec topic = create("transactions", 7, Map.of(), Map.of(),
                new TransactionFill(List.of("none", "lz4"), 4, null));
        TopicSpec.Filling filling = filling();
        topic.filler().fill(filling, topic);
        Map<TopicPartition, List<SelfTestCopier.Copied>> copied = new HashMap<>();
        for (int number = 0; number < topic.partitions(); number++) {
            TopicPartition partition = topic.partition(number);
            copied.put(partition, copier.copy(partition, null, UNALTERED));
        }
        Map<TopicPartition, OffsetAndMetadata> before = new HashMap<>();
        filling.facts().places().forEach((name, place) ->
                before.put(place.partition(), new OffsetAndMetadata(place.offset(), "✓ " + name)));
        before.put(topic.partition(0), new OffsetAndMetadata(33, ""));
        before.put(topic.partition(5), new OffsetAndMetadata(57, ""));
        Map<TopicPartition, OffsetAndMetadata> after = new HashMap<>();
        before.forEach((partition, position) -> after.put(partition,
                new OffsetAndMetadata(
                        SelfTestCopier.translate(copied.get(partition), position.offset()), position.metadata())));
        groups(topic, before, after);
    }

    private void groups(
            TopicSpec topic,
            Map<TopicPartition, OffsetAndMetadata> before,
            Map<TopicPartition, OffsetAndMetadata> after)
            throws Exception {
        String group = "selftest-group";
        TopicPartition altered = topic.partition(5);
        OffsetAndMetadata right = after.get(altered);
        source.alterConsumerGroupOffsets(group, before).all().get();
        expect("group-not-copied", topic.name(), Set.of("group-missing"));
        target.alterConsumerGroupOffsets(group, after).all().get();
        expect("groups-right", topic.name(), Set.of());
        commit(group, altered, new OffsetAndMetadata(right.offset() + 1, ""));
        expect("group-one-too-far", topic.name(), Set.of("group-position", "group-next-record"));
        commit(group, altered, new OffsetAndMetadata(right.offset() - 1, ""));
        expect("group-one-too-early", topic.name(), Set.of("group-position", "group-next-record"));
        commit(group, altered, new OffsetAndMetadata(right.offset(), "other"));
        expect("group-metadata", topic.name(), Set.of("group-metadata"));
        commit(group, altered, new OffsetAndMetadata(right.offset(), Optional.of(900), ""));
        expect("group-leader-epoch", topic.name(), Set.of("group-next-record"));
        target.deleteConsumerGroupOffsets(group, Set.of(altered)).all().get();
        expect("group-position-not-copied", topic.name(), Set.of("group-position-missing"));
        commit(group, altered, right);
        commit("selftest-stranger", altered, right);
        expect("group-added", topic.name(), Set.of("group-added"));
        expect("group-ignored", topic.name(), Set.of(), "--ignore-groups", "selftest-stranger");
        target.deleteConsumerGroups(List.of("selftest-stranger")).all().get();
        expect("groups-right-again", topic.name(), Set.of());
    }

    private void commit(String group, TopicPartition partition, OffsetAndMetadata at) throws Exception {
        target.alterConsumerGroupOffsets(group, Map.of(partition, at)).all().get();
    }

    /** After the switch the target goes on: with live records only. */
    private void liveRecords() throws Exception {
        String topic = oddTopic("goes-on");
        LiveRecord live = new LiveRecord(false, "shop", topic, 0, 0);
        copier.copy(new TopicPartition(topic, 0), "lz4", all -> {
            List<ProducerRecord<byte[], byte[]>> more = new ArrayList<>(all);
            more.add(new ProducerRecord<>(topic, 0, Seeded.BASE_TIME_MS, null, live.value()));
            return more;
        });
        copier.copy(new TopicPartition(topic, 1), null, UNALTERED);
        expect("live-not-allowed", topic, Set.of("added-on-target"));
        expect("live-allowed", topic, Set.of(), "--live-on-target");
        copier.copy(new TopicPartition(topic, 0), "lz4", all -> all.subList(0, 1));
        expect("other-than-live", topic, Set.of("added-on-target"), "--live-on-target");
    }

    private void missingIsIgnoredWhereTold() throws Exception {
        String topic = oddTopic("compacted-later");
        for (int partition = 0; partition < 2; partition++) {
            copier.copy(new TopicPartition(topic, partition), null, all -> {
                List<ProducerRecord<byte[], byte[]>> less = new ArrayList<>(all);
                less.subList(10, 100).clear();
                return less;
            });
        }
        expect("missing-not-ignored", topic, Set.of("missing-on-target", "key"));
        expect("missing-ignored", topic, Set.of(), "--ignore-missing-on-target", topic);
    }

    private void topology() throws Exception {
        TopicSpec topic = create("configs", 1, Map.of("cleanup.policy", "compact", "segment.bytes", "1048576"),
                Map.of("cleanup.policy", "compact,delete", "min.insync.replicas", "1"), (filling, it) -> {});
        Judge.Verdict verdict = expect("configs", topic.name(), Set.of("config"));
        check("configs-all-three", verdict.differences().total() == 3, verdict);
        source.createTopics(List.of(new NewTopic("selftest.only-source", 1, (short) 1))).all().get();
        target.createTopics(List.of(new NewTopic("selftest.only-target", 1, (short) 1))).all().get();
        expect("topics", "selftest.only-.*", Set.of("topic-missing", "topic-added"));
        source.createTopics(List.of(new NewTopic("selftest.partitions", 2, (short) 1))).all().get();
        target.createTopics(List.of(new NewTopic("selftest.partitions", 3, (short) 1))).all().get();
        expect("partitions", "selftest.partitions", Set.of("partition-count"));
    }

    /** Clusters may hold other rules, so only those of this test count. */
    private void rules() throws Exception {
        AclBinding ours = rule("User:selftest-source");
        AclBinding theirs = rule("User:selftest-target");
        source.createAcls(List.of(ours)).all().get();
        target.createAcls(List.of(theirs)).all().get();
        Judge.Verdict verdict = judge("selftest.none");
        check("acl-missing", found(verdict, "acl-missing", "selftest-source"), verdict);
        check("acl-added", found(verdict, "acl-added", "selftest-target"), verdict);
        source.deleteAcls(List.of(ours.toFilter())).all().get();
        target.deleteAcls(List.of(theirs.toFilter())).all().get();
        verdict = judge("selftest.none");
        check("acl-right", !found(verdict, "acl", "selftest"), verdict);
    }

    private static AclBinding rule(String principal) {
        return new AclBinding(new ResourcePattern(ResourceType.TOPIC, "selftest.", PatternType.PREFIXED),
                new AccessControlEntry(principal, "10.1.2.3", AclOperation.READ, AclPermissionType.DENY));
    }

    private static boolean found(Judge.Verdict verdict, String kind, String part) {
        return verdict.differences().kept().stream()
                .anyMatch(each -> each.kind().startsWith(kind) && each.detail().contains(part));
    }

    /** Judges the topics of a pattern and demands exactly these kinds of differences. */
    private Judge.Verdict expect(String name, String topics, Set<String> kinds, String... more) throws Exception {
        List<String> all = new ArrayList<>(List.of("--skip", "acls"));
        all.addAll(Arrays.asList(more));
        Judge.Verdict verdict = judge(topics, all.toArray(String[]::new));
        Set<String> found = new TreeSet<>(verdict.differences().kinds().keySet());
        check(name, found.equals(kinds), verdict);
        return verdict;
    }

    private Judge.Verdict judge(String topics, String... more) throws Exception {
        List<String> argv = new ArrayList<>(List.of("--topics", topics, "--print", "200"));
        for (String name : List.of("source", "target", "source-logs", "target-logs")) {
            argv.add("--" + name);
            argv.add(args.required(name));
        }
        argv.addAll(Arrays.asList(more));
        return Judge.run(new JudgeOptions(argv.toArray(String[]::new)), line -> {});
    }

    private void check(String name, boolean right, Judge.Verdict verdict) {
        cases++;
        System.err.println((right ? "ok    " : "WRONG ") + name + " " + verdict.differences().kinds());
        if (!right) {
            failures.add(name + ": " + verdict.summary() + " " + verdict.differences().kept());
        }
    }
}
