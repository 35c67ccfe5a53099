package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * A way in which a copy of records can be wrong.
 *
 * @param name  of the case, part of its topic's name
 * @param codec the codec to copy with, null for the source's
 * @param alter what is done to the records of partition 0 before they are written to the target
 * @param kinds the kinds of differences the judge has to report, and no others
 */
record SelfTestCase(
        String name,
        String codec,
        UnaryOperator<List<ProducerRecord<byte[], byte[]>>> alter,
        Set<String> kinds) {
    private static final byte[] EMPTY = new byte[0];

    /** All cases about records; the first is a true copy. */
    static List<SelfTestCase> all() {
        return List.of(
                new SelfTestCase("true-copy", null, all -> all, Set.of()),
                new SelfTestCase("other-codec", "gzip", all -> all, Set.of("codec")),
                one("one-bit-of-a-value", it -> it.value() != null && it.value().length > 3, it -> {
                    byte[] value = it.value().clone();
                    value[value.length - 1] ^= 1;
                    return with(it, it.timestamp(), it.key(), value, it.headers().toArray());
                }, "value"),
                one("null-value-became-empty", it -> it.value() == null, it ->
                        with(it, it.timestamp(), it.key(), EMPTY, it.headers().toArray()), "value"),
                one("empty-value-became-null", it -> it.value() != null && it.value().length == 0, it ->
                        with(it, it.timestamp(), it.key(), null, it.headers().toArray()), "value"),
                one("null-key-became-empty", it -> it.key() == null, it ->
                        with(it, it.timestamp(), EMPTY, it.value(), it.headers().toArray()), "key"),
                one("timestamp", it -> true, it ->
                        with(it, it.timestamp() + 1, it.key(), it.value(), it.headers().toArray()), "timestamp"),
                headers("header-order", it -> it.headers().toArray().length == 5, Collections::reverse),
                headers("repeated-header-lost", it -> it.headers().toArray().length > 10, it -> it.remove(3)),
                headers("header-null-became-empty", it -> it.headers().lastHeader("m") != null, it ->
                        it.replaceAll(each -> each.key().equals("m") ? new RecordHeader("m", EMPTY) : each)),
                headers("header-bytes-as-text", it -> it.headers().lastHeader("raw") != null, it ->
                        it.replaceAll(each -> new RecordHeader(each.key(), "\uFFFD".getBytes()))),
                list("record-missing", all -> all.remove(all.size() / 2), "missing-on-target"),
                list("last-record-missing", all -> all.remove(all.size() - 1), "missing-on-target"),
                list("first-record-missing", all -> all.remove(0), "missing-on-target"),
                list("all-records-missing", List::clear, "missing-on-target"),
                list("record-doubled", all -> all.add(all.size() / 2, all.get(all.size() / 2)), "added-on-target"),
                list("last-record-doubled", all -> all.add(all.get(all.size() - 1)), "added-on-target"),
                list("two-records-swapped", all -> Collections.swap(all, 20, 21), "missing-on-target",
                        "added-on-target"),
                list("records-far-apart-swapped", all -> Collections.swap(all, 5, 150), "key"));
    }

    private static SelfTestCase one(
            String name,
            Predicate<ProducerRecord<byte[], byte[]>> which,
            UnaryOperator<ProducerRecord<byte[], byte[]>> alter,
            String kind) {
        return list(name, all -> {
            for (int i = all.size() / 3; i < all.size(); i++) {
                if (which.test(all.get(i))) {
                    all.set(i, alter.apply(all.get(i)));
                    return;
                }
            }
            throw new IllegalStateException(name + " finds no record to alter");
        }, kind);
    }

    private static SelfTestCase headers(
            String name,
            Predicate<ProducerRecord<byte[], byte[]>> which,
            Consumer<List<Header>> alter) {
        return one(name, which, it -> {
            List<Header> headers = new ArrayList<>(Arrays.asList(it.headers().toArray()));
            alter.accept(headers);
            return with(it, it.timestamp(), it.key(), it.value(), headers.toArray(Header[]::new));
        }, "headers");
    }

    private static SelfTestCase list(
            String name, Consumer<List<ProducerRecord<byte[], byte[]>>> alter, String... kinds) {
        return new SelfTestCase(name, null, all -> {
            List<ProducerRecord<byte[], byte[]>> altered = new ArrayList<>(all);
            alter.accept(altered);
            return altered;
        }, Set.of(kinds));
    }

    private static ProducerRecord<byte[], byte[]> with(
            ProducerRecord<byte[], byte[]> record, long timestamp, byte[] key, byte[] value, Header[] headers) {
        return new ProducerRecord<>(record.topic(), record.partition(), timestamp, key, value, Arrays.asList(headers));
    }
}
