package io.mskkraft.rehearsal;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** Logs what became of each record and counts it. */
final class LiveStats {
    private final LiveLog log;
    private final Map<String, Long> outcomes = new TreeMap<>();
    private long lastAcked;
    private long longestGap;
    private long switchGap = -1;
    private String lastCluster = "";
    private String lastFailure = "";

    LiveStats(LiveLog log) {
        this.log = log;
    }

    /** Notes the outcome of one record. */
    synchronized void add(LiveLog.Line line) {
        log.write(line);
        log.flush();
        outcomes.merge(line.outcome() + "_on_" + line.cluster(), 1L, Long::sum);
        if (!line.outcome().equals("acked")) {
            return;
        }
        long now = System.nanoTime();
        if (lastAcked != 0) {
            longestGap = Math.max(longestGap, now - lastAcked);
            if (!lastCluster.equals(line.cluster())) {
                switchGap = now - lastAcked;
            }
        }
        lastAcked = now;
        lastCluster = line.cluster();
    }

    /** Notes a failure of a producer. */
    synchronized void failed(Exception failure) {
        lastFailure = failure.toString();
    }

    /** The numbers; gaps are in milliseconds, {@code switch_gap_ms} is -1 without a change of cluster. */
    synchronized Map<String, Object> summary() {
        Map<String, Object> summary = new LinkedHashMap<>(outcomes);
        summary.put("records_on_source", outcomes.getOrDefault("acked_on_source", 0L));
        summary.put("records_on_target", outcomes.getOrDefault("acked_on_target", 0L));
        summary.put("longest_gap_ms", longestGap / 1_000_000);
        summary.put("switch_gap_ms", switchGap < 0 ? -1 : switchGap / 1_000_000);
        if (!lastFailure.isEmpty()) {
            summary.put("last_failure", lastFailure);
        }
        return summary;
    }
}
