package io.mskkraft.readers;

import java.nio.file.Path;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;

/**
 * Applications that break at a record which is not theirs, each started, brought to the end of its topics and stopped:
 * one of Kafka Streams that restores its stores from changelogs, a typed consumer, and a sink as a connector would be.
 * Prints what they know as JSON.
 *
 * <p>Arguments: {@code BOOTSTRAP STATE_DIR}, the second an empty folder: everything is restored.
 */
public final class Readers {
    private Readers() {}

    /** Runs every application once. */
    public static void main(String[] args) throws Exception {
        if (args.length != 2) {
            throw new IllegalArgumentException("usage: Readers BOOTSTRAP STATE_DIR");
        }
        String bootstrap = args[0];
        String state;
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            state = new StreamsApp(bootstrap, Path.of(args[1]), admin).run();
        }
        long typed = new LongReader(bootstrap, "readers-typed", false).run();
        long sunk = new LongReader(bootstrap, "connect-readers-sink", true).run();
        System.out.printf("{\"streams\": %s, \"typed\": %d, \"sink\": %d}%n", state, typed, sunk);
    }
}
