package io.mskkraft.rehearsal;

import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * A record that says what it is: {@code msk-kraft-live|kind|producer|topic|partition|seq|padding}.
 *
 * @param aborted  whether its transaction was meant to be aborted, so that nobody may ever read it
 * @param producer who wrote it
 * @param seq      number among the records of this producer and kind in this partition, from 0 without gaps
 */
record LiveRecord(boolean aborted, String producer, String topic, int partition, long seq) {
    /** Header of the records that the migration itself adds; they are nobody's data. */
    static final String SENTINEL_HEADER = "msk-kraft-sentinel";

    private static final String MARK = "msk-kraft-live";
    private static final int FIELDS = 7;
    private static final String PADDING = "0123456789abcdef".repeat(12);

    /** The bytes of the record's value. */
    byte[] value() {
        String kind = aborted ? "aborted" : "committed";
        return String.join("|", MARK, kind, producer, topic, Integer.toString(partition), Long.toString(seq), PADDING)
                .getBytes(StandardCharsets.UTF_8);
    }

    /** Reads a value; empty when it is not of a live producer. */
    static Optional<LiveRecord> of(byte[] value) {
        if (value == null || value.length < MARK.length()
                || !new String(value, 0, MARK.length(), StandardCharsets.US_ASCII).equals(MARK)) {
            return Optional.empty();
        }
        String[] fields = new String(value, StandardCharsets.UTF_8).split("\\|");
        if (fields.length != FIELDS) {
            return Optional.empty();
        }
        return Optional.of(new LiveRecord(fields[1].equals("aborted"), fields[2], fields[3],
                Integer.parseInt(fields[4]), Long.parseLong(fields[5])));
    }
}
