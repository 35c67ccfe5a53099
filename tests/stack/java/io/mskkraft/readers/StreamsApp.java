package io.mskkraft.readers;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/** Counts the input by key, by key and hour, and by key and session; each count is a store with a changelog. */
final class StreamsApp {
    private static final String APPLICATION = "readers-app";
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final Duration RETENTION = Duration.ofDays(3650);

    private final String bootstrap;
    private final Path stateDir;
    private final Admin admin;

    StreamsApp(String bootstrap, Path stateDir, Admin admin) {
        this.bootstrap = bootstrap;
        this.stateDir = stateDir;
        this.admin = admin;
    }

    /** Restores, processes what is new, and returns what the stores hold as JSON. */
    String run() throws Exception {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, APPLICATION);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        config.put(StreamsConfig.STATE_DIR_CONFIG, stateDir.toString());
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put("auto.offset.reset", "earliest");
        // A test has written its records in the past.
        config.put(StreamsConfig.WINDOW_STORE_CHANGE_LOG_ADDITIONAL_RETENTION_MS_CONFIG, RETENTION.toMillis());
        AtomicReference<Throwable> died = new AtomicReference<>();
        try (KafkaStreams streams = new KafkaStreams(topology().build(), config)) {
            streams.setUncaughtExceptionHandler(error -> {
                died.set(error);
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            Instant until = Instant.now().plus(PATIENCE);
            while (!(streams.state() == KafkaStreams.State.RUNNING && isCaughtUp())) {
                if (died.get() != null) {
                    throw new IllegalStateException("the application died", died.get());
                }
                if (Instant.now().isAfter(until)) {
                    throw new IllegalStateException("not caught up, " + streams.state());
                }
                Thread.sleep(100);
            }
            return stores(streams);
        }
    }

    private static StreamsBuilder topology() {
        StreamsBuilder builder = new StreamsBuilder();
        var grouped = builder.stream(Input.TOPIC, Consumed.with(Serdes.Long(), Serdes.Long()))
            .groupByKey(Grouped.with(Serdes.Long(), Serdes.Long()));
        grouped.count(Materialized.as("plain"));
        grouped.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), RETENTION)).count(
            Materialized.<Long, Long>as(org.apache.kafka.streams.state.Stores.persistentWindowStore(
                "windowed", RETENTION, Duration.ofHours(1), false)));
        grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofMinutes(10), RETENTION)).count(
            Materialized.as(org.apache.kafka.streams.state.Stores.persistentSessionStore("sessions", RETENTION)));
        return builder;
    }

    /** Whether the group has committed the ends of the input. */
    private boolean isCaughtUp() throws Exception {
        var committed = admin.listConsumerGroupOffsets(APPLICATION).partitionsToOffsetAndMetadata().get();
        var described = admin.describeTopics(java.util.List.of(Input.TOPIC)).allTopicNames().get().get(Input.TOPIC);
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        described.partitions().forEach(at -> wanted.put(new TopicPartition(Input.TOPIC, at.partition()), OffsetSpec.latest()));
        var ends = admin.listOffsets(wanted).all().get();
        // A marker at the end of a log is nothing to process, and a position behind it is not committed.
        var last = new HashMap<TopicPartition, Long>();
        for (var end : ends.entrySet()) {
            last.put(end.getKey(), Ends.behindLastRecord(bootstrap, end.getKey(), end.getValue().offset()));
        }
        return last.entrySet().stream().allMatch(end -> end.getValue() == 0
            || committed.get(end.getKey()) != null && committed.get(end.getKey()).offset() >= end.getValue());
    }

    private static String stores(KafkaStreams streams) {
        long keys = 0;
        long counted = 0;
        var plain = streams.store(StoreQueryParameters.fromNameAndType("plain", QueryableStoreTypes.<Long, Long>keyValueStore()));
        try (KeyValueIterator<Long, Long> all = plain.all()) {
            while (all.hasNext()) {
                keys++;
                counted += all.next().value;
            }
        }
        var parts = new HashMap<String, String>();
        parts.put("plain", pair(keys, counted));
        var windowed = streams.store(
            StoreQueryParameters.fromNameAndType("windowed", QueryableStoreTypes.<Long, Long>windowStore()));
        keys = 0;
        counted = 0;
        try (var all = windowed.all()) {
            while (all.hasNext()) {
                keys++;
                counted += all.next().value;
            }
        }
        parts.put("windowed", pair(keys, counted));
        var sessions = streams.store(
            StoreQueryParameters.fromNameAndType("sessions", QueryableStoreTypes.<Long, Long>sessionStore()));
        keys = 0;
        counted = 0;
        for (long key = 0; key < Input.KEYS; key++) {
            try (var all = sessions.fetch(key)) {
                while (all.hasNext()) {
                    keys++;
                    counted += all.next().value;
                }
            }
        }
        parts.put("sessions", pair(keys, counted));
        return parts.entrySet().stream()
            .map(part -> "\"" + part.getKey() + "\": " + part.getValue())
            .collect(Collectors.joining(", ", "{", "}"));
    }

    private static String pair(long entries, long counted) {
        return "{\"entries\": " + entries + ", \"counted\": " + counted + "}";
    }
}
