package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The topics of the source: exactly 36 with 306 partitions, among them one of 96. */
final class Catalogue {
    /** How many topics there are. */
    static final int TOPICS = 36;

    /** How many partitions they have together. */
    static final int PARTITIONS = 306;

    /** Retention that is finite, yet longer than the fixed timestamps of the data are old. */
    private static final String TEN_YEARS_MS = Long.toString(3_652 * Seeded.DAY_MS);

    private static final List<String> EVERY_CODEC = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private final List<TopicSpec> topics = new ArrayList<>();
    private final String minInSync;

    private Catalogue(int replicas) {
        minInSync = Integer.toString(Math.min(2, replicas));
        business();
        changeData();
        streams();
        highVolume();
        formats();
        platform();
    }

    /** All topics, for a cluster in which partitions have that many replicas. */
    static List<TopicSpec> topics(int replicas) {
        List<TopicSpec> topics = new Catalogue(replicas).topics;
        int partitions = topics.stream().mapToInt(TopicSpec::partitions).sum();
        if (topics.size() != TOPICS || partitions != PARTITIONS) {
            throw new IllegalStateException(topics.size() + " topics, " + partitions + " partitions");
        }
        return topics;
    }

    /** Topics in formats before Kafka 0.11, which brokers before Kafka 3.0 still write. */
    static List<TopicSpec> oldFormats() {
        Catalogue catalogue = new Catalogue();
        for (String version : List.of("0.9.0", "0.10.0")) {
            catalogue.add("old.events." + version, 3, new OldFormatFill(false, null),
                    "every codec, null and empty keys and values, format " + version,
                    "message.format.version", version, "retention.ms", TEN_YEARS_MS);
            catalogue.add("old.state." + version, 3, new OldFormatFill(true, null),
                    "compacted with holes inside compressed messages, format " + version,
                    compacted(32768, "compact", "message.format.version", version));
        }
        catalogue.add("old.upgraded", 3, new OldFormatFill(false, "2.8"),
                "format 0.10.0, upgraded to 2.8 half way",
                "message.format.version", "0.10.0", "retention.ms", TEN_YEARS_MS);
        catalogue.add("old.append-time", 3, new OldFormatFill(false, null),
                "LogAppendTime in format 0.10.0", "message.format.version", "0.10.0",
                "message.timestamp.type", "LogAppendTime", "retention.ms", TEN_YEARS_MS);
        catalogue.add("new.beside", 3, PlainFill.events("lz4", 4, 50, 300), "of today, next to the others",
                "retention.ms", TEN_YEARS_MS);
        return catalogue.topics;
    }

    private Catalogue() {
        minInSync = "1";
    }

    private void business() {
        add("orders", 12, PlainFill.events("zstd", 6, 200, 1_000).withHeaders(),
                "zstd events with tracing headers, some repeated; replicated durably",
                "min.insync.replicas", minInSync, "retention.ms", TEN_YEARS_MS);
        add("payments", 6, new TransactionFill(List.of("none", "lz4"), 8, null),
                "committed, aborted, interleaved transactions; ends in abort marker; only aborted data",
                "min.insync.replicas", minInSync, "retention.ms", TEN_YEARS_MS);
        add("payments.settlements", 12, new TransactionFill(List.of("zstd", "gzip"), 5, "settlement-writer"),
                "transactions over many partitions; group offset committed in a transaction",
                "retention.ms", "-1", "unclean.leader.election.enable", "false");
        add("billing.usage", 6, PlainFill.events("gzip", 5, 100, 400).withKeys(PlainFill.Keys.NONE),
                "gzip without keys", "retention.ms", TEN_YEARS_MS, "retention.bytes", "1073741824");
        add("notifications.email", 3, PlainFill.events("none", 6, 40, 700).withKeys(PlainFill.Keys.SOME),
                "uncompressed, some without key", "retention.ms", TEN_YEARS_MS);
        add("notifications.push", 1, PlainFill.events("snappy", 6, 40, 200).and(new TinyFill("zstd", 100_000)),
                "one partition, snappy, one zstd batch of 100,000 tiny records; timestamps bounded in the future",
                "retention.ms", TEN_YEARS_MS, "message.timestamp.after.max.ms", "3600000");
        add("users.sessions", 6, new OddFill("lz4", 24),
                "null and empty keys and values, odd headers, lz4", "retention.ms", TEN_YEARS_MS);
        add("dlq.payments", 1, new OddFill("none", 40), "dead letters with odd headers, uncompressed",
                "retention.ms", "-1");
        add("dlq.orders", 1, (filling, topic) -> {}, "an entirely empty topic without settings of its own");
    }

    private void changeData() {
        add("cdc.postgres.public.line_items", 6, new CompactedFill(List.of("lz4", "none"), 400, 4, false, false),
                "compacted with holes inside batches", compacted(131072, "compact"));
        add("cdc.postgres.public.orders", 6, new CompactedFill(List.of("zstd", "zstd"), 300, 3, true, false),
                "compacted and deleted by age, with tombstones", compacted(24576, "compact,delete"));
        add("cdc.postgres.public.customers", 6, new CompactedFill(List.of("gzip", "snappy"), 300, 3, true, false),
                "compacted, tombstones removed soon", compacted(32768, "compact", "delete.retention.ms", "100"));
        add("cdc.mongo.catalog.reviews", 6, PlainFill.events("snappy", 8, 60, 900), "snappy documents",
                "retention.ms", TEN_YEARS_MS);
        add("cdc.mongo.catalog.products", 6, PlainFill.events("gzip", 4, 5, 100_000), "large gzip documents",
                "retention.ms", TEN_YEARS_MS, "segment.bytes", "1048576");
    }

    private void streams() {
        add("streams.orders", 6, PlainFill.events("lz4", 8, 100, 350).leavingEmpty(5),
                "lz4, one empty partition", "retention.ms", TEN_YEARS_MS, "segment.bytes", "262144");
        add("streams.orders-by-customer-repartition", 6, new TrimmedFill("zstd", 10, 60),
                "log start above 0: at a boundary, inside a batch, everything deleted, deleted and written again",
                "retention.ms", "-1", "segment.ms", "86400000");
        add("streams.orders-store-changelog", 6, new CompactedFill(List.of("none", "lz4"), 300, 5, true, true),
                "compacted, with committed and aborted transactions", compacted(65536, "compact"));
        add("streams.windowed-revenue-changelog", 6, new CompactedFill(List.of("zstd", "gzip"), 200, 3, true, false),
                "compacted and deleted by age", compacted(16384, "compact,delete", "min.compaction.lag.ms", "0"));
    }

    private void highVolume() {
        add("bench.source", 96, PlainFill.events("none", 4, 200, 500).withNoise().leavingEmpty(13, 14, 40, 77, 95),
                "96 partitions of incompressible records, five of them empty", "retention.ms", TEN_YEARS_MS);
        add("clickstream.web", 12, PlainFill.events("zstd", 2, 1_200, 550),
                "zstd batches of ~0.7 MB before compression", "retention.ms", TEN_YEARS_MS,
                "max.message.bytes", "1048588");
        add("clickstream.mobile", 12, PlainFill.events("none", 1, 1_100, 800).withKeys(PlainFill.Keys.NONE),
                "uncompressed batches of ~0.9 MB", "retention.ms", TEN_YEARS_MS);
        add("iot.telemetry", 12, PlainFill.events("lz4", 5, 400, 110),
                "LogAppendTime", "message.timestamp.type", "LogAppendTime", "retention.ms", "604800000");
        add("logs.application", 6, PlainFill.events("snappy", 120, 1, 300).withKeys(PlainFill.Keys.NONE),
                "one record in each batch", "retention.ms", TEN_YEARS_MS);
        add("search.index-requests", 6, PlainFill.events("lz4", 5, 80, 1_200),
                "lz4", "retention.ms", TEN_YEARS_MS, "segment.ms", "604800000");
        add("geo.positions", 4, new TrimmedFill("lz4", 12, 90),
                "log start above 0 in lz4 batches; one partition deleted entirely", "retention.ms", TEN_YEARS_MS);
    }

    private void formats() {
        add("documents.invoices", 3, PlainFill.events("none", 15, 20, 1_500).withCodecs(EVERY_CODEC),
                "every codec by turns in one partition", "retention.ms", TEN_YEARS_MS);
        add("inventory.snapshots", 6, PlainFill.events("none", 4, 60, 2_000),
                "recompressed by the broker to zstd", "compression.type", "zstd", "retention.ms", TEN_YEARS_MS);
        add("inventory.movements", 6, PlainFill.events("lz4", 4, 60, 500),
                "recompressed by the broker to gzip", "compression.type", "gzip", "retention.ms", TEN_YEARS_MS);
        add("ml.features", 6, PlainFill.events("zstd", 5, 40, 4_000).withNoise(),
                "decompressed by the broker", "compression.type", "uncompressed", "retention.ms", TEN_YEARS_MS);
        add("media.thumbnails", 3, PlainFill.events("none", 5, 1, 2_096_900).withNoise(),
                "records just below what the topic takes", "max.message.bytes", "2097152", "retention.ms", TEN_YEARS_MS);
        add("audit.events", 3, new TimeFill("zstd", 12, 60),
                "timestamps months apart inside a batch, timestamp 0, years old; kept for ever", "retention.ms", "-1");
    }

    private void platform() {
        add("users.preferences", 3, new CompactedFill(List.of("snappy", "zstd"), 200, 3, false, false),
                "compacted with holes, several codecs", compacted(16384, "compact"));
        add("connect-configs", 1, PlainFill.events("none", 20, 1, 400).withKeys(PlainFill.Keys.ALL),
                "compacted, not yet cleaned", parked());
        add("connect-offsets", 19, PlainFill.events("none", 12, 1, 120),
                "compacted, many small batches", parked());
        add("connect-status", 5, PlainFill.events("gzip", 10, 3, 150),
                "compacted, gzip", parked());
        add("_schemas", 1, PlainFill.events("none", 60, 1, 800),
                "a schema registry's topic, which is not internal to Kafka", parked());
    }

    /** A compacted topic that the cleaner works on at once, in segments of a fraction of a partition's bytes. */
    private static String[] compacted(int segmentBytes, String policy, String... more) {
        List<String> all = new ArrayList<>(List.of("cleanup.policy", policy,
                "segment.bytes", Integer.toString(segmentBytes),
                "min.cleanable.dirty.ratio", "0.01", "retention.ms", TEN_YEARS_MS));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    /** A compacted topic that the cleaner leaves alone: the ratio has to be exceeded, and 1 cannot be. */
    private static String[] parked() {
        return new String[] {"cleanup.policy", "compact", "min.cleanable.dirty.ratio", "1.0"};
    }

    private void add(String name, int partitions, TopicSpec.Filler filler, String holds, String... configs) {
        Map<String, String> set = new HashMap<>();
        for (int i = 0; i < configs.length; i += 2) {
            set.put(configs[i], configs[i + 1]);
        }
        topics.add(new TopicSpec(name, partitions, set, filler, holds));
    }
}
