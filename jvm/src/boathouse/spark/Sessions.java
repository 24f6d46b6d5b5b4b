package boathouse.spark;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;

/** One Spark session for each command context: own temporary views and settings, shared tables and cached data. */
final class Sessions {
    private final SparkSession root;
    private final ConcurrentHashMap<String, SparkSession> byContext = new ConcurrentHashMap<>();
    private final CountDownLatch used = new CountDownLatch(1);

    Sessions(SparkSession root) {
        this.root = root;
    }

    SparkContext spark() {
        return root.sparkContext();
    }

    SparkSession root() {
        return root;
    }

    /** Waits until a context has asked for its session, at most so long; whether one has. */
    boolean awaitUse(long millis) throws InterruptedException {
        return used.await(millis, TimeUnit.MILLISECONDS);
    }

    /** A session for a context that is not known yet; {@link #adopt} gives it away. */
    SparkSession spare(String name) {
        return byContext.computeIfAbsent(name, missing -> root.newSession());
    }

    /** The context's session, made on first use. */
    SparkSession get(String context) {
        used.countDown();
        return byContext.computeIfAbsent(context, missing -> root.newSession());
    }

    /** Whether a streaming query runs in any of them, also one that has nothing to read now. */
    boolean streaming() {
        return root.streams().active().length > 0
                || byContext.values().stream().anyMatch(session -> session.streams().active().length > 0);
    }

    /**
     * The session that was made under another name becomes the context's, unless it has one already (then the other is
     * forgotten).
     */
    SparkSession adopt(String name, String context) {
        used.countDown();
        SparkSession made = byContext.remove(name);
        return byContext.computeIfAbsent(context, missing -> made != null ? made : root.newSession());
    }

    /** Forgets every session that was made: whoever comes from now on gets a new one. */
    void forgetAll() {
        byContext.clear();
    }

    /** As whom the context calls the control plane from its session. */
    void bind(String context, NodeCalls calls) {
        CatalogParser.bind(get(context), calls);
    }

    /** @return false when there was none */
    boolean remove(String context) {
        return byContext.remove(context) != null;
    }
}
