package io.mskkraft.rehearsal;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Proves from the logs of the live clients that every group read every acknowledged record exactly once and in order,
 * across the change of cluster, and no aborted one.
 */
public final class CheckLive {
    private static final String USAGE = "CheckLive --dir D [--topics a,b] [--expect-switch]";
    private static final int PRINTED = 40;
    private final List<String> problems = new ArrayList<>();
    private final Map<String, Long> counts = new TreeMap<>();
    /** Outcome by the record's name. */
    private final Map<Id, String> outcomes = new HashMap<>();

    private final Set<String> clusters = new TreeSet<>();

    private CheckLive() {}

    /** A live record's name; aborted ones have names of their own. */
    private record Id(boolean aborted, String topic, int partition, String producer, long seq) {}

    /** What the order of records is kept within. */
    private record Lane(String topic, int partition, String producer) {}

    /** Checks the logs of a directory; ends with 1 if anything is wrong. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE, Set.of("dir", "topics", "expect-switch"));
        CheckLive check = new CheckLive();
        check.run(Path.of(args.required("dir")), args.list("topics"), args.flag("expect-switch"));
        Map<String, Object> summary = new LinkedHashMap<>(check.counts);
        summary.put("problems", check.problems.size());
        check.problems.stream().limit(PRINTED).forEach(System.out::println);
        System.out.println(new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(summary));
        System.exit(check.problems.isEmpty() ? 0 : 1);
    }

    private void run(Path dir, List<String> topics, boolean expectSwitch) throws IOException {
        for (Path log : logs(dir, ".log")) {
            for (LiveLog.Line line : LiveLog.read(log)) {
                if (topics.isEmpty() || topics.contains(line.topic())) {
                    produced(line);
                }
            }
        }
        Map<String, List<LiveLog.Line>> groups = new TreeMap<>();
        for (Path log : logs(dir, ".consumed")) {
            String group = log.getFileName().toString().replaceFirst("@[^@]*$", "");
            List<LiveLog.Line> lines = groups.computeIfAbsent(group, any -> new ArrayList<>());
            LiveLog.read(log).stream().filter(it -> topics.isEmpty() || topics.contains(it.topic()))
                    .forEach(lines::add);
        }
        groups.forEach(this::group);
        if (groups.isEmpty() || counts.getOrDefault("acked", 0L) == 0) {
            problems.add("nothing was acknowledged or no group consumed: there is nothing to prove");
        }
        if (expectSwitch && !clusters.equals(Set.of("source", "target"))) {
            problems.add("records were acknowledged only on " + clusters);
        }
    }

    private static List<Path> logs(Path dir, String ending) throws IOException {
        try (var files = Files.list(dir)) {
            return files.filter(file -> file.getFileName().toString().endsWith(ending)).sorted().toList();
        }
    }

    private void produced(LiveLog.Line line) {
        boolean aborted = line.outcome().equals("aborted");
        Id id = new Id(aborted, line.topic(), line.partition(), line.producer(), line.seq());
        if (outcomes.put(id, line.outcome()) != null) {
            problems.add("acknowledged twice: " + line);
        }
        count(line.outcome());
        if (line.outcome().equals("acked")) {
            clusters.add(line.cluster());
            count("acked_on_" + line.cluster());
        }
    }

    private void group(String group, List<LiveLog.Line> lines) {
        lines.sort(Comparator.comparingLong(LiveLog.Line::timeMs));
        Map<Id, LiveLog.Line> seen = new HashMap<>();
        Map<Lane, Long> last = new HashMap<>();
        Set<String> readTopics = new HashSet<>();
        for (LiveLog.Line line : lines) {
            readTopics.add(line.topic());
            if (line.outcome().equals(LiveLog.SUBSCRIBED)) {
                continue;
            }
            count(group + ": read_on_" + line.cluster());
            Id id = new Id(false, line.topic(), line.partition(), line.producer(), line.seq());
            if (line.outcome().equals("read-aborted")) {
                problems.add(group + " read aborted data: " + line);
                continue;
            }
            LiveLog.Line before = seen.putIfAbsent(id, line);
            if (before != null) {
                problems.add(group + " read twice: " + before + " and " + line);
                continue;
            }
            if (!outcomes.containsKey(id)) {
                problems.add(group + " read what no producer logged: " + line);
            }
            Long previous = last.put(new Lane(line.topic(), line.partition(), line.producer()), line.seq());
            if (previous != null && previous >= line.seq()) {
                problems.add(group + " read " + line + " after sequence " + previous);
            }
        }
        missing(group, readTopics, seen.keySet());
    }

    private void missing(String group, Set<String> readTopics, Set<Id> seen) {
        long once = 0;
        for (Map.Entry<Id, String> each : outcomes.entrySet()) {
            if (!each.getValue().equals("acked") || !readTopics.contains(each.getKey().topic())) {
                continue;
            }
            if (seen.contains(each.getKey())) {
                once++;
            } else {
                problems.add(group + " never read " + each.getKey());
            }
        }
        counts.put(group + ": acknowledged_and_read_once", once);
    }

    private void count(String what) {
        counts.merge(what, 1L, Long::sum);
    }
}
