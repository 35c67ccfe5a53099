package io.mskkraft.rehearsal;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** The log of a live client: one line of blank separated fields for each record that it wrote or read. */
final class LiveLog implements AutoCloseable {
    /** Outcome of a line that a consumer writes for each topic it subscribes to. */
    static final String SUBSCRIBED = "subscribed";

    private static final int FIELDS = 8;
    private final BufferedWriter out;

    /** Opens a log for appending. */
    LiveLog(Path file) throws IOException {
        out = Files.newBufferedWriter(file, StandardOpenOption.CREATE,
                StandardOpenOption.APPEND);
    }

    /**
     * One line.
     *
     * @param outcome of a producer {@code acked}, {@code aborted} or {@code unknown}; of a consumer {@code read} or
     *     {@code read-aborted}
     * @param offset  where the record stands in that cluster, -1 if not known
     * @param cluster {@code source} or {@code target}
     * @param timeMs  when the line was written
     */
    record Line(
            String outcome,
            String topic,
            int partition,
            String producer,
            long seq,
            long offset,
            String cluster,
            long timeMs) {}

    /** Writes a line; the caller flushes. */
    synchronized void write(Line line) {
        try {
            out.write(String.join(" ", line.outcome, line.topic, Integer.toString(line.partition), line.producer,
                    Long.toString(line.seq), Long.toString(line.offset), line.cluster, Long.toString(line.timeMs)));
            out.newLine();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Hands everything written to the operating system. */
    synchronized void flush() {
        try {
            out.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public synchronized void close() throws IOException {
        out.close();
    }

    /** Reads a log back; a last line that a killed client left incomplete is not taken. */
    static List<Line> read(Path file) throws IOException {
        List<Line> lines = new ArrayList<>();
        try (Stream<String> all = Files.lines(file)) {
            all.forEach(text -> {
                String[] fields = text.split(" ");
                if (fields.length == FIELDS) {
                    lines.add(new Line(fields[0], fields[1], Integer.parseInt(fields[2]), fields[3],
                            Long.parseLong(fields[4]), Long.parseLong(fields[5]), fields[6],
                            Long.parseLong(fields[7])));
                }
            });
        }
        return lines;
    }
}
