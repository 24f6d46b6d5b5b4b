package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.concurrent.ConcurrentHashMap;

/** The shells of this driver, by command context and language. */
final class Shells {
    private static final ConcurrentHashMap<String, Shell> OPEN = new ConcurrentHashMap<>();

    private Shells() {}

    /** Opens a shell; one that is open already is left as it is. */
    static Shell.Standing open(String context, String language, JsonNode options) {
        boolean[] made = {false};
        Shell shell = OPEN.computeIfAbsent(key(context, language), missing -> {
            made[0] = true;
            return make(context, language, options);
        });
        if (made[0]) {
            shell.start();
        }
        return shell.standing();
    }

    private static Shell make(String context, String language, JsonNode options) {
        switch (language) {
            case "scala":
                return new ScalaShell(context, DbUtils.of(options));
            case "r":
                return new RShell(options.path("program").asText("Rscript"), new RCalls(NodeCalls.of(options)));
            default:
                throw new IllegalArgumentException("'language' is neither scala nor r: " + language);
        }
    }

    /** Whether it has been opened. */
    static boolean has(String context, String language) {
        return OPEN.containsKey(key(context, language));
    }

    /** @return null when it was never opened, or is closed */
    static Shell find(String context, String language) {
        return OPEN.get(key(context, language));
    }

    static void closeAll(String context) {
        for (String language : new String[] {"scala", "r"}) {
            Shell shell = OPEN.remove(key(context, language));
            if (shell != null) {
                shell.close();
            }
        }
    }

    private static String key(String context, String language) {
        return language + " " + context;
    }
}
