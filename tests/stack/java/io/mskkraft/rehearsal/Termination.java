package io.mskkraft.rehearsal;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Turns SIGTERM into a request that the main thread answers in its own time before the process ends. */
final class Termination {
    private static final int PATIENCE_S = 60;
    private final CountDownLatch finished = new CountDownLatch(1);
    private volatile boolean requested;

    Termination() {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            requested = true;
            try {
                finished.await(PATIENCE_S, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
    }

    /** Whether the process was told to end. */
    boolean requested() {
        return requested;
    }

    /** Lets the process end; to be called last, also after a failure. */
    void finished() {
        finished.countDown();
    }
}
