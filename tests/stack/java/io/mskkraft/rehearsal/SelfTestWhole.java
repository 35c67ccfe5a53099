package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;

/** Copies a whole small source whose writers stand still: topics, settings, records, positions, rules. */
final class SelfTestWhole {
    private static final String TIMESTAMP_TYPE = "message.timestamp.type";
    private final Admin source;
    private final Admin target;
    private final SelfTestCopier copier;

    SelfTestWhole(Admin source, Admin target, SelfTestCopier copier) {
        this.source = source;
        this.target = target;
        this.copier = copier;
    }

    /** Copies everything to an empty target. */
    void copy() throws Exception {
        Collection<String> names = source.listTopics().names().get();
        Map<String, TopicDescription> topics = source.describeTopics(names).allTopicNames().get();
        Map<String, Map<String, String>> configs = configs(names);
        createTopics(topics, configs);
        Map<TopicPartition, List<SelfTestCopier.Copied>> copied = new HashMap<>();
        for (TopicDescription topic : topics.values()) {
            for (int number = 0; number < topic.partitions().size(); number++) {
                TopicPartition partition = new TopicPartition(topic.name(), number);
                copied.put(partition, copier.copy(partition, null, all -> all));
            }
        }
        setTimestampTypes(configs);
        copyGroups(copied);
        target.createAcls(source.describeAcls(AclBindingFilter.ANY).values().get()).all().get();
    }

    private Map<String, Map<String, String>> configs(Collection<String> names) throws Exception {
        List<ConfigResource> resources =
                names.stream().map(name -> new ConfigResource(ConfigResource.Type.TOPIC, name)).toList();
        Map<String, Map<String, String>> configs = new HashMap<>();
        source.describeConfigs(resources).all().get().forEach((resource, config) -> {
            Map<String, String> set = new HashMap<>();
            for (ConfigEntry entry : config.entries()) {
                if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                    set.put(entry.name(), entry.value());
                }
            }
            configs.put(resource.name(), set);
        });
        return configs;
    }

    /** Timestamps are kept as they are during the copy, whoever set them. */
    private void createTopics(Map<String, TopicDescription> topics, Map<String, Map<String, String>> configs)
            throws Exception {
        List<NewTopic> wanted = new ArrayList<>();
        for (TopicDescription topic : topics.values()) {
            Map<String, String> set = new HashMap<>(configs.get(topic.name()));
            set.remove(TIMESTAMP_TYPE);
            wanted.add(new NewTopic(topic.name(), topic.partitions().size(), (short) 1).configs(set));
        }
        target.createTopics(wanted).all().get();
    }

    private void setTimestampTypes(Map<String, Map<String, String>> configs) throws Exception {
        Map<ConfigResource, Collection<AlterConfigOp>> changes = new HashMap<>();
        configs.forEach((topic, set) -> {
            if (set.containsKey(TIMESTAMP_TYPE)) {
                ConfigEntry entry = new ConfigEntry(TIMESTAMP_TYPE, set.get(TIMESTAMP_TYPE));
                changes.put(new ConfigResource(ConfigResource.Type.TOPIC, topic),
                        List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET)));
            }
        });
        target.incrementalAlterConfigs(changes).all().get();
    }

    private void copyGroups(Map<TopicPartition, List<SelfTestCopier.Copied>> copied) throws Exception {
        for (ConsumerGroupListing group : source.listConsumerGroups().all().get()) {
            Map<TopicPartition, OffsetAndMetadata> there = new HashMap<>();
            source.listConsumerGroupOffsets(group.groupId()).partitionsToOffsetAndMetadata().get()
                    .forEach((partition, at) -> there.put(partition, new OffsetAndMetadata(
                            SelfTestCopier.translate(copied.get(partition), at.offset()), at.metadata())));
            target.alterConsumerGroupOffsets(group.groupId(), there).all().get();
        }
    }
}
