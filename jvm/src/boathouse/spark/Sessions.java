package boathouse.spark;

import java.util.concurrent.ConcurrentHashMap;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;

/** One Spark session for each command context: own temporary views and settings, shared tables and cached data. */
final class Sessions {
    private final SparkSession root;
    private final ConcurrentHashMap<String, SparkSession> byContext = new ConcurrentHashMap<>();

    Sessions(SparkSession root) {
        this.root = root;
    }

    SparkContext spark() {
        return root.sparkContext();
    }

    SparkSession root() {
        return root;
    }

    /** The context's session, made on first use. */
    SparkSession get(String context) {
        return byContext.computeIfAbsent(context, missing -> root.newSession());
    }

    /** Whether a streaming query runs in any of them, also one that has nothing to read now. */
    boolean streaming() {
        return root.streams().active().length > 0
                || byContext.values().stream().anyMatch(session -> session.streams().active().length > 0);
    }

    /** @return false when there was none */
    boolean remove(String context) {
        return byContext.remove(context) != null;
    }
}
