package io.mskkraft.rehearsal;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** What the {@link Judge} is to compare. */
final class JudgeOptions {
    static final String USAGE = "Judge --source B --target T [--source-logs dir,dir --target-logs dir,dir]"
            + " [--topics REGEX] [--upto-source-file F] [--ignore-missing-on-target topic,..] [--live-on-target]"
            + " [--ignore-groups group,..] [--ignore-configs name,..] [--skip records,groups,configs,acls]"
            + " [--threads N] [--print N]";

    private static final Set<String> KNOWN = Set.of("source", "target", "source-logs", "target-logs", "topics",
            "upto-source-file", "ignore-missing-on-target", "live-on-target", "ignore-groups", "ignore-configs", "skip",
            "threads", "print");
    private static final Set<String> PARTS = Set.of("records", "groups", "configs", "acls");

    final String source;
    final String target;
    final List<Path> sourceLogs;
    final List<Path> targetLogs;
    /** Which topics are compared. */
    final Pattern topics;
    /** Where reading the source ends, by {@code topic/partition}; elsewhere it ends at the present log end. */
    final Map<String, Long> uptoSource;
    /** Topics of which the target may lack records. */
    final Set<String> ignoreMissing;
    /** Whether the target may go on with live records and sentinels after the source's end. */
    final boolean liveOnTarget;
    /** Groups that are not compared, because they went on on the target. */
    final Set<String> ignoreGroups;
    /** Topic settings that are not compared. */
    final Set<String> ignoreConfigs;
    /** Parts that are left out. */
    final Set<String> skip;

    final int threads;
    /** Differences shown of one partition. */
    final int print;

    /** Reads the command line. */
    JudgeOptions(String... argv) throws IOException {
        Args args = new Args(argv, USAGE, KNOWN);
        source = args.required("source");
        target = args.required("target");
        sourceLogs = args.list("source-logs").stream().map(Path::of).toList();
        targetLogs = args.list("target-logs").stream().map(Path::of).toList();
        topics = Pattern.compile(args.get("topics", ".*"));
        uptoSource = uptoFile(args.get("upto-source-file", ""));
        ignoreMissing = new HashSet<>(args.list("ignore-missing-on-target"));
        liveOnTarget = args.flag("live-on-target");
        ignoreGroups = new HashSet<>(args.list("ignore-groups"));
        ignoreConfigs = new HashSet<>(args.list("ignore-configs"));
        skip = new HashSet<>(args.list("skip"));
        threads = (int) args.number("threads", 2);
        print = (int) args.number("print", 20);
        if (sourceLogs.isEmpty() != targetLogs.isEmpty()) {
            throw new IllegalArgumentException("codecs need the segment files of both sides\nusage: " + USAGE);
        }
        if (!PARTS.containsAll(skip)) {
            throw new IllegalArgumentException("--skip knows " + PARTS + "\nusage: " + USAGE);
        }
    }

    /** Whether a topic is to be compared: internal ones of Kafka and of MSK are not. */
    boolean wants(String topic) {
        return !topic.equals("__consumer_offsets") && !topic.equals("__transaction_state")
                && !topic.startsWith("__amazon_msk") && topics.matcher(topic).matches();
    }

    private static Map<String, Long> uptoFile(String file) throws IOException {
        return file.isEmpty()
                ? new HashMap<>()
                : new ObjectMapper().readValue(new File(file), new TypeReference<Map<String, Long>>() {});
    }
}
