package io.mskkraft.rehearsal;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** Compares two records and puts them into words. */
final class RecordText {
    private static final int SHOWN = 48;

    private RecordText() {}

    /** The first field in which two records differ, or null if they are the same to a client. */
    static String difference(ConsumerRecord<byte[], byte[]> one, ConsumerRecord<byte[], byte[]> other) {
        if (!Arrays.equals(one.key(), other.key())) {
            return "key";
        }
        if (!Arrays.equals(one.value(), other.value())) {
            return "value";
        }
        if (one.timestamp() != other.timestamp()) {
            return "timestamp";
        }
        return sameHeaders(one, other) ? null : "headers";
    }

    private static boolean sameHeaders(ConsumerRecord<byte[], byte[]> one, ConsumerRecord<byte[], byte[]> other) {
        Header[] left = one.headers().toArray();
        Header[] right = other.headers().toArray();
        if (left.length != right.length) {
            return false;
        }
        for (int i = 0; i < left.length; i++) {
            if (!left[i].key().equals(right[i].key()) || !Arrays.equals(left[i].value(), right[i].value())) {
                return false;
            }
        }
        return true;
    }

    /** A record in short, for messages. */
    static String show(ConsumerRecord<byte[], byte[]> record) {
        if (record == null) {
            return "none";
        }
        StringBuilder out = new StringBuilder();
        out.append("offset ").append(record.offset()).append(" time ").append(record.timestamp());
        out.append(" key ").append(show(record.key())).append(" value ").append(show(record.value()));
        for (Header header : record.headers()) {
            out.append(" header ").append(header.key()).append('=').append(show(header.value()));
        }
        return out.length() > 400 ? out.substring(0, 400) + "..." : out.toString();
    }

    private static String show(byte[] bytes) {
        if (bytes == null) {
            return "null";
        }
        String text = new String(bytes, 0, Math.min(bytes.length, SHOWN), StandardCharsets.UTF_8);
        return "'" + text.replaceAll("\\p{Cntrl}", "?") + "'(" + bytes.length + ")";
    }
}
