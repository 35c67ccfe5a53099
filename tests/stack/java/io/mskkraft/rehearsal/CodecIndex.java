package io.mskkraft.rehearsal;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.FileLogInputStream.FileChannelRecordBatch;
import org.apache.kafka.common.record.FileRecords;

/**
 * The batches of a partition as they lie in a broker's segment files, read with Kafka's own {@link FileRecords}: which
 * codec compresses the record of an offset. Offsets are to be asked for in ascending order.
 */
final class CodecIndex {
    private static final int ATTEMPTS = 5;
    private final List<Path> replicas;
    private Replica replica = new Replica();
    private int at;

    /**
     * @param logDirs log directories of any number of brokers; the replica that reaches furthest is read
     */
    CodecIndex(List<Path> logDirs, TopicPartition partition) {
        String name = partition.topic() + "-" + partition.partition();
        replicas = logDirs.stream().map(dir -> dir.resolve(name)).filter(Files::isDirectory).toList();
        load();
    }

    /** The codec of the batch that holds an offset, {@code absent} if there is none. */
    String codec(long offset) {
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            while (at < replica.batches.size() && replica.batches.get(at)[1] < offset) {
                at++;
            }
            if (at < replica.batches.size() && replica.batches.get(at)[0] <= offset) {
                return replica.codecs.get(at);
            }
            // Written after the files were read, or only to the other replicas so far.
            pause();
            load();
        }
        return "absent";
    }

    /** Counts of batches by codec and peculiarity. */
    Map<String, Long> shape() {
        return replica.shape;
    }

    private void load() {
        at = 0;
        for (Path dir : replicas) {
            Replica found = read(dir);
            replica = found.end() > replica.end() ? found : replica;
        }
    }

    private static Replica read(Path dir) {
        for (int attempt = 0; ; attempt++) {
            try (Stream<Path> files = Files.list(dir)) {
                Replica replica = new Replica();
                List<Path> segments = files.filter(file -> file.toString().endsWith(".log"))
                        .sorted(Comparator.comparing(file -> file.getFileName().toString()))
                        .toList();
                for (Path segment : segments) {
                    replica.addSegment(segment.toFile());
                }
                return replica;
            } catch (NoSuchFileException | UncheckedIOException | KafkaException e) {
                // The broker replaced a segment meanwhile, as the cleaner and retention do.
                if (attempt == ATTEMPTS) {
                    throw new IllegalStateException(e);
                }
                pause();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(200);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** What the segment files of one replica hold. */
    private static final class Replica {
        final List<long[]> batches = new ArrayList<>();
        final List<String> codecs = new ArrayList<>();
        final Map<String, Long> shape = new TreeMap<>();

        long end() {
            return batches.isEmpty() ? 0 : batches.get(batches.size() - 1)[1] + 1;
        }

        void addSegment(File segment) throws IOException {
            try (FileRecords records = FileRecords.open(segment, false)) {
                for (FileChannelRecordBatch batch : records.batches()) {
                    batches.add(new long[] {batch.baseOffset(), batch.lastOffset()});
                    codecs.add(batch.compressionType().name);
                    describe(batch);
                }
            }
        }

        private void describe(FileChannelRecordBatch batch) {
            count("batches");
            if (batch.isControlBatch()) {
                count("control");
                return;
            }
            count("codec_" + batch.compressionType().name);
            count("magic_" + batch.magic());
            count(batch.timestampType().name);
            if (batch.isTransactional()) {
                count("transactional");
            }
            if (batch.deleteHorizonMs().isPresent()) {
                count("delete_horizon");
            }
            Integer records = batch.countOrNull();
            if (records != null && records == 0) {
                count("without_records");
            } else if (records != null && records < batch.lastOffset() - batch.baseOffset() + 1) {
                count("with_holes");
            }
        }

        private void count(String what) {
            shape.merge(what, 1L, Long::sum);
        }
    }
}
