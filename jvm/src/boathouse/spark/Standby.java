package boathouse.spark;

import java.lang.reflect.Field;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.internal.SQLConf;

/**
 * A driver that was started for a pool's idle instance, before there was a cluster: what comes late with the cluster that
 * takes it. Whatever is fixed when Spark starts is refused; the control plane then starts a driver as always.
 *
 * <p>Settings reach every session that is made from then on, and the context's own configuration; variables reach
 * {@link System#getenv()} and the processes that this one starts, not native code.
 */
final class Standby {
    static final CountDownLatch PYTHON_REHEARSED = new CountDownLatch(1);

    private static Map<String, String> lateEnvironment = new TreeMap<>();

    private Standby() {}

    /** Cannot come late. */
    static final class Misfit extends Exception {
        Misfit(String message) {
            super(message);
        }
    }

    static synchronized Map<String, String> lateEnvironment() {
        return new TreeMap<>(lateEnvironment);
    }

    /** Become the driver of the cluster whose settings and variables these are. Sessions that were made before are forgotten. */
    static synchronized void take(Sessions sessions, Map<String, String> properties, Map<String, String> environment)
            throws Misfit {
        SparkSession root = sessions.root();
        SparkSession trial = root.newSession();
        for (Map.Entry<String, String> entry : properties.entrySet()) {
            String name = entry.getKey();
            if (name.startsWith("spark.sql.") || name.startsWith("spark.databricks.")) {
                try {
                    trial.conf().set(name, entry.getValue());
                } catch (Exception refused) { // not only unchecked ones: Scala declares none
                    throw new Misfit(name + ": " + refused.getMessage());
                }
            }
        }
        try {
            SparkContext context = root.sparkContext();
            SparkConf shared = (SparkConf) call(call(root, "sharedState"), "conf");
            SQLConf own = (SQLConf) call(call(root, "sessionState"), "conf");
            properties.forEach((name, value) -> {
                context.conf().set(name, value);
                shared.set(name, value);
                own.setConfString(name, value);
                System.setProperty(name, value);
            });
            Map<String, String> ours = ownEnvironment();
            environment.forEach(ours::put);
        } catch (ReflectiveOperationException | RuntimeException failure) {
            throw new Misfit(failure.toString());
        }
        lateEnvironment = new TreeMap<>(environment);
        sessions.forgetAll();
    }

    /** The map behind {@link System#getenv()}, of which children get a copy. Its packages are opened by our command line. */
    @SuppressWarnings("unchecked")
    private static Map<String, String> ownEnvironment() throws ReflectiveOperationException {
        Map<String, String> shown = System.getenv();
        Field behind = shown.getClass().getDeclaredField("m");
        behind.setAccessible(true);
        return (Map<String, String>) behind.get(shown);
    }

    /** Spark 4 has the classic session in a class of its own, so that this is looked up by name. */
    private static Object call(Object target, String method) throws ReflectiveOperationException {
        return target.getClass().getMethod(method).invoke(target);
    }
}
