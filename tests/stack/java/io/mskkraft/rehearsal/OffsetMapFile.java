package io.mskkraft.rehearsal;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.TopicPartition;

/** The map of one partition's offsets, read from CSV and applied as {@code docs/OFFSETS.md} says. */
final class OffsetMapFile {
    private static final String HEADER = "topic,partition,source_offset,target_offset,records";
    private final TopicPartition partition;
    private final List<Row> rows = new ArrayList<>();

    private record Row(long source, long target, long records) {}

    /** Reads a whole file, and refuses one that is not. */
    OffsetMapFile(Path file) throws IOException {
        TopicPartition named = null;
        try (BufferedReader lines = Files.newBufferedReader(file)) {
            if (!HEADER.equals(lines.readLine())) {
                throw new IOException(file + " does not begin with " + HEADER);
            }
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] fields = line.split(",", -1);
                TopicPartition where = new TopicPartition(fields[0], Integer.parseInt(fields[1]));
                if (named != null && !named.equals(where)) {
                    throw new IOException(file + " is about " + named + " and " + where);
                }
                named = where;
                rows.add(new Row(Long.parseLong(fields[2]), Long.parseLong(fields[3]), Long.parseLong(fields[4])));
            }
        }
        if (rows.size() < 2 || rows.get(0).records != 0 || last().records != 0) {
            throw new IOException(file + " is not whole");
        }
        partition = named;
    }

    private Row last() {
        return rows.get(rows.size() - 1);
    }

    /** What the map is about. */
    TopicPartition partition() {
        return partition;
    }

    /** How many runs it has. */
    int runs() {
        return rows.size() - 2;
    }

    /** The source's log start when the copy began. */
    long sourceStart() {
        return rows.get(0).source;
    }

    /** The source offset that would be copied next. */
    long sourceNext() {
        return last().source;
    }

    /** The target offset of the next record. */
    long targetNext() {
        return last().target;
    }

    /** The target offset for a source offset up to {@link #sourceNext}. */
    long translate(long source) {
        int low = 0;
        int high = rows.size();
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (rows.get(middle).source <= source) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low == 0) {
            return 0;
        }
        Row row = rows.get(low - 1);
        if (source < row.source + row.records) {
            return row.target + source - row.source;
        }
        return low < rows.size() ? rows.get(low).target : row.target;
    }
}
