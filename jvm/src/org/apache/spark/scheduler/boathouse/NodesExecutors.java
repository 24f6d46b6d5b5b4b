package org.apache.spark.scheduler.boathouse;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorAdded;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerInterface;
import org.apache.spark.scheduler.SparkListenerTaskEnd;

/** What the driver knows of its executors, kept by listening to Spark's own events. One driver per process. */
public final class NodesExecutors {
    /** One executor that registered; {@code alive} turns false once and stays false. */
    public static final class Seen {
        public final String id;
        public final String host;
        public final int cores;
        public final boolean alive;
        /** Why it left, in Spark's words; empty while alive. */
        public final String reason;

        Seen(String id, String host, int cores, boolean alive, String reason) {
            this.id = id;
            this.host = host;
            this.cores = cores;
            this.alive = alive;
            this.reason = reason;
        }
    }

    /** Dead executors that are remembered; older ones are forgotten first. */
    private static final int REMEMBERED_DEAD = 100;

    private static final Map<String, Seen> SEEN = new LinkedHashMap<>();

    /** When each living executor registered or last ended a task, in {@link System#nanoTime}. */
    private static final Map<String, Long> LAST_USE = new ConcurrentHashMap<>();

    private NodesExecutors() {}

    /** Milliseconds since an executor registered or last ended a task; 0 when it is not known. */
    public static long idleMillis(String id) {
        Long last = LAST_USE.get(id);
        return last == null ? 0 : TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - last);
    }

    public static List<Seen> all() {
        synchronized (SEEN) {
            return new ArrayList<>(SEEN.values());
        }
    }

    static SparkListenerInterface listener() {
        return new SparkListener() {
            @Override
            public void onExecutorAdded(SparkListenerExecutorAdded event) {
                Seen seen = new Seen(
                        event.executorId(),
                        event.executorInfo().executorHost(),
                        event.executorInfo().totalCores(),
                        true,
                        "");
                LAST_USE.put(seen.id, System.nanoTime());
                synchronized (SEEN) {
                    SEEN.put(seen.id, seen);
                }
            }

            @Override
            public void onTaskEnd(SparkListenerTaskEnd event) {
                LAST_USE.replace(event.taskInfo().executorId(), System.nanoTime());
            }

            @Override
            public void onExecutorRemoved(SparkListenerExecutorRemoved event) {
                LAST_USE.remove(event.executorId());
                synchronized (SEEN) {
                    Seen was = SEEN.get(event.executorId());
                    if (was != null) {
                        SEEN.put(was.id, new Seen(was.id, was.host, was.cores, false, event.reason()));
                        forgetOldest();
                    }
                }
            }
        };
    }

    private static void forgetOldest() {
        long dead = SEEN.values().stream().filter(seen -> !seen.alive).count();
        if (dead > REMEMBERED_DEAD) {
            String oldest = SEEN.values().stream().filter(seen -> !seen.alive).findFirst().get().id;
            SEEN.remove(oldest);
        }
    }
}
