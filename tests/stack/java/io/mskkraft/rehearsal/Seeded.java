package io.mskkraft.rehearsal;

import java.nio.charset.StandardCharsets;
import java.util.SplittableRandom;

/** Content that depends on nothing but a seed and a place: the same seed gives the same bytes on every run. */
final class Seeded {
    /** 2025-09-01T00:00:00Z, the moment around which the records' timestamps lie. */
    static final long BASE_TIME_MS = 1_756_684_800_000L;

    /** One day in milliseconds. */
    static final long DAY_MS = 86_400_000L;

    private static final String[] WORDS = {
        "status", "pending", "shipped", "customer", "warehouse", "amount", "currency", "EUR", "USD", "invoice",
        "region", "eu-central-1", "us-east-1", "priority", "standard", "express", "returned", "category", "note",
        "Grüße", "注文", "quantity", "discount", "session", "referrer", "https://shop.example.com/", "checkout",
    };

    private final long seed;

    /** @param seed the seed of the whole source */
    Seeded(long seed) {
        this.seed = seed;
    }

    /** The random numbers of one place, such as a topic, a partition and a record's number. */
    SplittableRandom at(String place, long a, long b) {
        long mixed = seed;
        for (long part : new long[] {place.hashCode(), a, b}) {
            mixed = (mixed ^ part) * 0x9E3779B97F4A7C15L;
            mixed ^= mixed >>> 29;
        }
        return new SplittableRandom(mixed);
    }

    /** JSON-like text of about {@code bytes} bytes that compresses the way business events do. */
    static byte[] text(SplittableRandom random, String what, long number, int bytes) {
        StringBuilder out = new StringBuilder(bytes + 64);
        out.append("{\"kind\":\"").append(what).append("\",\"n\":").append(number);
        out.append(",\"id\":\"").append(Long.toHexString(random.nextLong())).append('"');
        while (out.length() < bytes) {
            out.append(",\"").append(WORDS[random.nextInt(WORDS.length)]).append("\":");
            if (random.nextBoolean()) {
                out.append(random.nextInt(1_000_000));
            } else {
                out.append('"').append(WORDS[random.nextInt(WORDS.length)]).append('"');
            }
        }
        return out.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    /** Bytes that do not compress, as pictures and encrypted payloads are. */
    static byte[] noise(SplittableRandom random, int bytes) {
        byte[] out = new byte[bytes];
        random.nextBytes(out);
        return out;
    }

    /** UTF-8 bytes of a string. */
    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
