package io.mskkraft.rehearsal;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Command line of a program of this package: {@code --name value} pairs and value-less {@code --flag}s. */
final class Args {
    private final Map<String, String> values = new HashMap<>();
    private final String usage;

    /**
     * @param argv  the arguments of {@code main}
     * @param usage one line that is shown with every complaint
     * @param known every name that the program understands, so that a mistyped one does not pass unnoticed
     */
    Args(String[] argv, String usage, Set<String> known) {
        this.usage = usage;
        for (int i = 0; i < argv.length; i++) {
            if (!argv[i].startsWith("--")) {
                throw fail("unexpected argument " + argv[i]);
            }
            String name = argv[i].substring(2);
            if (!known.contains(name)) {
                throw fail("unknown option --" + name);
            }
            boolean hasValue = i + 1 < argv.length && !argv[i + 1].startsWith("--");
            values.put(name, hasValue ? argv[++i] : "");
        }
    }

    /** The value of an option without which the program cannot run. */
    String required(String name) {
        String value = values.get(name);
        if (value == null || value.isEmpty()) {
            throw fail("--" + name + " is missing");
        }
        return value;
    }

    /** The value of an option, or {@code otherwise}. */
    String get(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }

    /** The value of an option as a number, or {@code otherwise}. */
    double number(String name, double otherwise) {
        String value = values.get(name);
        try {
            return value == null ? otherwise : Double.parseDouble(value);
        } catch (NumberFormatException e) {
            throw fail("--" + name + " needs a number, not " + value);
        }
    }

    /** A comma separated list; empty when the option is absent. */
    List<String> list(String name) {
        List<String> parts = new ArrayList<>();
        for (String part : values.getOrDefault(name, "").split(",")) {
            if (!part.isBlank()) {
                parts.add(part.trim());
            }
        }
        return parts;
    }

    /** Whether a flag was given. */
    boolean flag(String name) {
        return values.containsKey(name);
    }

    private IllegalArgumentException fail(String why) {
        return new IllegalArgumentException(why + "\nusage: " + usage);
    }
}
