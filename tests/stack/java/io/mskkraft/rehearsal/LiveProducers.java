package io.mskkraft.rehearsal;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/**
 * Producers of a business that goes on during the migration. They obey {@code freeze-state} in the shared directory,
 * answer in {@code acks/<name>} with the number of the order, and log every record to {@code <name>.log}.
 */
public final class LiveProducers {
    private static final String USAGE =
            "LiveProducers --bootstrap B --target T --dir D --topics a,b,c [--tx-topics c] --rate R --name X";
    private static final long POLL_MS = 20;
    private final LiveFiles files;
    private final String name;
    private final Map<String, String> bootstraps;
    private final Map<LiveStream, Double> rates = new LinkedHashMap<>();
    private final Termination termination = new Termination();
    private volatile Order order;

    private LiveProducers(Args args, LiveFiles files, LiveStats stats) {
        this.files = files;
        name = args.required("name");
        bootstraps = Map.of("source", args.required("bootstrap"), "target", args.required("target"));
        List<String> plain = new ArrayList<>(args.list("topics"));
        List<String> transactional = new ArrayList<>(args.list("tx-topics"));
        if (transactional.isEmpty() && plain.size() > 1) {
            transactional.add(plain.get(plain.size() - 1));
        }
        plain.removeAll(transactional);
        double rateOfATopic = args.number("rate", 100) / (plain.size() + transactional.size());
        if (!plain.isEmpty()) {
            rates.put(new LiveStream(name, false, plain, stats), rateOfATopic * plain.size());
        }
        if (!transactional.isEmpty()) {
            rates.put(new LiveStream(name + "-tx", true, transactional, stats), rateOfATopic * transactional.size());
        }
        order = NONE;
    }

    /** What all streams have to do, and how many have not done it yet. */
    private record Order(LiveFiles.Freeze freeze, CountDownLatch outstanding) {}

    /** Before the first order everything stands still. */
    private static final Order NONE = new Order(new LiveFiles.Freeze(-1, true, ""), new CountDownLatch(0));

    /** Produces until SIGTERM, then prints a summary in JSON. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, USAGE,
                Set.of("bootstrap", "target", "dir", "topics", "tx-topics", "rate", "name"));
        LiveFiles files = new LiveFiles(args.required("dir"));
        try (LiveLog log = new LiveLog(files.file(args.required("name") + ".log"))) {
            LiveStats stats = new LiveStats(log);
            LiveProducers producers = new LiveProducers(args, files, stats);
            try {
                producers.run();
                Map<String, Object> summary = new LinkedHashMap<>();
                summary.put("name", producers.name);
                summary.putAll(stats.summary());
                System.out.println(new ObjectMapper().writeValueAsString(summary));
            } finally {
                producers.termination.finished();
            }
        }
    }

    /** Reads orders and has every stream carry them out. */
    private void run() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(rates.size());
        try {
            List<Future<?>> running = new ArrayList<>();
            rates.forEach((stream, rate) -> running.add(pool.submit(() -> {
                produce(stream, rate);
                return null;
            })));
            while (!termination.requested() && running.stream().noneMatch(Future::isDone)) {
                LiveFiles.Freeze read = files.freeze();
                if (read.seq() > order.freeze().seq()) {
                    carryOut(read, running);
                }
                Thread.sleep(POLL_MS);
            }
            for (Future<?> each : running) {
                each.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    private void carryOut(LiveFiles.Freeze read, List<Future<?>> running) throws Exception {
        if (!read.frozen() && !bootstraps.containsKey(read.cluster())) {
            throw new IllegalArgumentException("freeze-state names an unknown cluster: " + read.cluster());
        }
        Order next = new Order(read, new CountDownLatch(rates.size()));
        order = next;
        while (!next.outstanding.await(POLL_MS, TimeUnit.MILLISECONDS)) {
            if (termination.requested() || running.stream().anyMatch(Future::isDone)) {
                return;
            }
        }
        files.acknowledge(name, Long.toString(read.seq()));
        System.err.println(name + ": order " + read.seq() + ", " + (read.frozen() ? "frozen" : read.cluster()));
    }

    /** The life of one stream. @param rate records per second */
    private void produce(LiveStream stream, double rate) throws Exception {
        long interval = (long) (1e9 / rate);
        long nextSend = System.nanoTime();
        // Not the current order: a stream that starts late has not carried that out either.
        Order obeyed = NONE;
        while (!termination.requested()) {
            Order now = order;
            if (now != obeyed) {
                obey(stream, now.freeze());
                now.outstanding.countDown();
                obeyed = now;
                nextSend = System.nanoTime();
            }
            if (!obeyed.freeze().frozen() && System.nanoTime() - nextSend >= 0) {
                stream.sendOne();
                nextSend += interval;
            } else {
                Thread.sleep(1);
            }
        }
        stream.drain();
        stream.close();
    }

    /** On leaving a cluster and on standing still, everything sent before has its outcome first. */
    private void obey(LiveStream stream, LiveFiles.Freeze freeze) {
        boolean moves = !freeze.frozen() && !freeze.cluster().equals(stream.cluster());
        if (freeze.frozen() || moves) {
            stream.drain();
        }
        if (moves) {
            stream.connect(freeze.cluster(), bootstraps.get(freeze.cluster()));
        }
    }
}
