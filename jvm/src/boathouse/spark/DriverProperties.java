package boathouse.spark;

import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.spark.SparkConf;
import org.apache.spark.scheduler.boathouse.ContextPackages;
import org.apache.spark.scheduler.boathouse.NodesClusterManager;
import org.apache.spark.scheduler.boathouse.NodesSchedulerBackend;

/**
 * The driver's configuration file: {@code spark.*} goes to Spark, {@code boathouse.*} is ours. Written by the control
 * plane on the node's tmpfs, because it may hold secrets.
 */
final class DriverProperties {
    private static final String EXTENSIONS = "spark.sql.extensions";
    private static final String CATALOG = "boathouse.spark.CatalogExtension";
    private static final String PLUGINS = "spark.plugins";
    private static final String SECRET = "spark.authenticate.secret";

    private final TreeMap<String, String> values = new TreeMap<>();

    private DriverProperties() {}

    static DriverProperties read(Path file) throws IOException {
        Properties loaded = new Properties();
        try (Reader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
            loaded.load(reader);
        }
        DriverProperties properties = new DriverProperties();
        for (String name : loaded.stringPropertyNames()) {
            if (!name.startsWith("spark.") && !name.startsWith("boathouse.")) {
                throw new IllegalArgumentException(
                        "property '" + name + "' in " + file + " is neither spark.* nor boathouse.*");
            }
            properties.values.put(name, loaded.getProperty(name));
        }
        return properties;
    }

    String require(String name) {
        String value = values.get(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException("property '" + name + "' is missing");
        }
        return value;
    }

    String get(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }

    int port(String name, int otherwise) {
        int port = Integer.parseInt(get(name, Integer.toString(otherwise)));
        if (port < 0 || port > 65535) {
            throw new IllegalArgumentException("property '" + name + "' is not a port: " + port);
        }
        return port;
    }

    boolean flag(String name, boolean otherwise) {
        return Boolean.parseBoolean(get(name, Boolean.toString(otherwise)));
    }

    /**
     * Spark's configuration. As spark-submit does, every {@code spark.*} becomes a system property too, so that code
     * which makes its own SparkConf sees the same; the cluster's secret does not.
     */
    SparkConf sparkConf() throws IOException {
        SparkConf conf = new SparkConf(false);
        values.forEach((name, value) -> {
            if (name.startsWith("spark.")) {
                conf.set(name, value);
                System.setProperty(name, value);
            }
        });
        // The customer's take the place of the defaults, not of ours.
        conf.set(EXTENSIONS, first(CATALOG, conf.get(EXTENSIONS, "")));
        if (conf.get("spark.master").startsWith(NodesClusterManager.PREFIX)) {
            conf.set(PLUGINS, first(ContextPackages.class.getName(), conf.get(PLUGINS, "")));
        }
        conf.set(NodesSchedulerBackend.APP_ID, require("boathouse.app.id"));
        conf.set(SECRET, secret(Paths.get(require("boathouse.secret.file"))));
        return conf;
    }

    private static String first(String ours, String theirs) {
        return theirs.isEmpty() ? ours : ours + "," + theirs;
    }

    /** The cluster's secret; at least 128 bits as text, so that an empty or cut file is not taken for one. */
    static String secret(Path file) throws IOException {
        String secret = new String(Files.readAllBytes(file), StandardCharsets.UTF_8).trim();
        if (secret.length() < 32) {
            throw new IllegalArgumentException("the secret in " + file + " is too short");
        }
        return secret;
    }
}
