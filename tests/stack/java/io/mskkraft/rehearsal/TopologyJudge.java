package io.mskkraft.rehearsal;

import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SecurityDisabledException;

/** Compares what is not data: which topics there are, their partitions, their settings, and the access rules. */
final class TopologyJudge {
    private final JudgeOptions options;
    private final Differences differences;
    private final Admin source;
    private final Admin target;

    TopologyJudge(JudgeOptions options, Differences differences, Admin source, Admin target) {
        this.options = options;
        this.differences = differences;
        this.source = source;
        this.target = target;
    }

    /** Compares topics and partition counts; returns how many partitions both sides have of each common topic. */
    Map<String, Integer> topics() throws Exception {
        Map<String, Integer> before = partitions(source);
        Map<String, Integer> after = partitions(target);
        Set<String> all = new TreeSet<>(before.keySet());
        all.addAll(after.keySet());
        Map<String, Integer> common = new TreeMap<>();
        for (String topic : all) {
            if (!after.containsKey(topic)) {
                differences.add(topic, "topic-missing", "not on the target");
            } else if (!before.containsKey(topic)) {
                differences.add(topic, "topic-added", "not on the source");
            } else {
                common.put(topic, Math.min(before.get(topic), after.get(topic)));
                if (!before.get(topic).equals(after.get(topic))) {
                    differences.add(topic, "partition-count", before.get(topic) + " became " + after.get(topic));
                }
            }
        }
        return common;
    }

    private Map<String, Integer> partitions(Admin admin) throws Exception {
        List<String> wanted = admin.listTopics().names().get().stream().filter(options::wants).toList();
        Map<String, Integer> partitions = new HashMap<>();
        admin.describeTopics(wanted).allTopicNames().get().forEach((name, topic) ->
                partitions.put(name, topic.partitions().size()));
        return partitions;
    }

    /** Compares what is set on the topics themselves; returns how many settings were compared. */
    long configs(Collection<String> topics) throws Exception {
        Map<String, Map<String, String>> before = configs(source, topics);
        Map<String, Map<String, String>> after = configs(target, topics);
        long compared = 0;
        for (String topic : topics) {
            Set<String> names = new TreeSet<>(before.get(topic).keySet());
            names.addAll(after.get(topic).keySet());
            names.removeAll(options.ignoreConfigs);
            for (String name : names) {
                compared++;
                String ours = before.get(topic).get(name);
                String theirs = after.get(topic).get(name);
                if (ours == null || !ours.equals(theirs)) {
                    differences.add(topic, "config", name + "=" + ours + " became " + theirs);
                }
            }
        }
        return compared;
    }

    private static Map<String, Map<String, String>> configs(Admin admin, Collection<String> topics) throws Exception {
        List<ConfigResource> resources =
                topics.stream().map(name -> new ConfigResource(ConfigResource.Type.TOPIC, name)).toList();
        Map<String, Map<String, String>> all = new HashMap<>();
        admin.describeConfigs(resources).all().get().forEach((resource, config) -> {
            Map<String, String> set = new HashMap<>();
            for (ConfigEntry entry : config.entries()) {
                if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                    set.put(entry.name(), String.valueOf(entry.value()));
                }
            }
            all.put(resource.name(), set);
        });
        return all;
    }

    /** Compares the access rules; returns how many the source has, -1 if neither side has an authorizer. */
    long acls() throws Exception {
        Set<AclBinding> before = acls(source);
        Set<AclBinding> after = acls(target);
        if (before == null || after == null) {
            if (before != after) {
                differences.add("acl", "acl", "only one side has an authorizer");
            }
            return -1;
        }
        before.stream().filter(rule -> !after.contains(rule)).forEach(rule ->
                differences.add("acl", "acl-missing", rule + " is not on the target"));
        after.stream().filter(rule -> !before.contains(rule)).forEach(rule ->
                differences.add("acl", "acl-added", rule + " is not on the source"));
        return before.size();
    }

    private static Set<AclBinding> acls(Admin admin) throws Exception {
        try {
            return new HashSet<>(admin.describeAcls(AclBindingFilter.ANY).values().get());
        } catch (ExecutionException e) {
            if (e.getCause() instanceof SecurityDisabledException) {
                return null;
            }
            throw e;
        }
    }
}
