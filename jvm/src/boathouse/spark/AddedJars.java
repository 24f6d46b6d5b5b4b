package boathouse.spark;

import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.apache.spark.sql.SparkSession;

/**
 * The classes of jars that were added while the driver ran ({@code ADD JAR}), for every thread and language. Spark itself
 * shows them to its own SQL functions and to the executors only.
 */
final class AddedJars extends URLClassLoader {
    static final AddedJars LOADER = new AddedJars();

    private final Set<String> known = new LinkedHashSet<>();

    private AddedJars() {
        super(new URL[0], AddedJars.class.getClassLoader());
    }

    /** Takes over what Spark has been given since the last time. */
    static void publish(SparkSession session) {
        LOADER.take(session.sharedState().jarClassLoader().getURLs());
    }

    private synchronized void take(URL[] urls) {
        for (URL url : urls) {
            if (known.add(url.toString())) {
                addURL(url);
            }
        }
    }

    /** The jars from the place {@code from} on, in the order in which they were added. */
    static List<URL> since(int from) {
        List<URL> all = Arrays.asList(LOADER.getURLs());
        return new ArrayList<>(all.subList(Math.min(from, all.size()), all.size()));
    }
}
