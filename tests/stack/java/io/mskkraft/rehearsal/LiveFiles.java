package io.mskkraft.rehearsal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** The files through which the stack steers the live clients, all replaced atomically. */
final class LiveFiles {
    private final Path dir;

    /** @param dir the directory that the stack and the clients share */
    LiveFiles(String dir) throws IOException {
        this.dir = Path.of(dir);
        Files.createDirectories(this.dir.resolve("acks"));
    }

    /**
     * What {@code freeze-state} says.
     *
     * @param seq     number of the order, growing
     * @param frozen  whether producers have to stand still
     * @param cluster {@code source} or {@code target}; of no meaning while frozen
     */
    record Freeze(long seq, boolean frozen, String cluster) {}

    /** The current order to producers; without a file they run on the source. */
    Freeze freeze() throws IOException {
        String[] words = read("freeze-state", "0 running source").split("\\s+");
        boolean frozen = words.length == 2 && words[1].equals("frozen");
        boolean running = words.length == 3 && words[1].equals("running");
        if (!frozen && !running) {
            throw new IOException("freeze-state is not understood: " + String.join(" ", words));
        }
        return new Freeze(Long.parseLong(words[0]), frozen, running ? words[2] : "");
    }

    /** The current order to consumers, {@code source}, {@code paused} or {@code target}, perhaps after a number. */
    String consumers() throws IOException {
        return read("switch-consumers", "source");
    }

    /** Tells the stack that an order was carried out. */
    void acknowledge(String name, String what) throws IOException {
        Path temporary = dir.resolve("acks").resolve("." + name + ".new");
        Files.writeString(temporary, what);
        Files.move(temporary, dir.resolve("acks").resolve(name), StandardCopyOption.ATOMIC_MOVE,
                StandardCopyOption.REPLACE_EXISTING);
    }

    /** A file of the directory. */
    Path file(String name) {
        return dir.resolve(name);
    }

    private String read(String name, String otherwise) throws IOException {
        try {
            String content = Files.readString(dir.resolve(name)).trim();
            return content.isEmpty() ? otherwise : content;
        } catch (NoSuchFileException e) {
            return otherwise;
        }
    }
}
