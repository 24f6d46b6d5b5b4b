package boathouse.spark;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.python.Py4JServer;
import org.apache.spark.scheduler.boathouse.NodesClusterManager;
import org.apache.spark.sql.SparkSession;

/**
 * The driver process of a cluster: a Spark context and, on loopback, Spark Connect, a Py4J gateway for the Python
 * contexts and the control interface. Says on the ready descriptor that it serves, and runs until it is signalled.
 *
 * <p>What does not need the Spark context is set up beside it on other threads: start-up is what users wait for.
 */
public final class DriverMain {
    /** A user who comes at once does the warming up; a warm-up beside it would take the processor from it. */
    private static final long WARMUP_AFTER_MILLIS = 1000;

    /** There once Spark is up: a Python process may connect before, and then waits. */
    private static final CompletableFuture<Sessions> SESSIONS = new CompletableFuture<>();

    private DriverMain() {}

    /** The session of a command context, for its Python process; made on first use. */
    public static SparkSession session(String contextId) {
        return SESSIONS.join().get(contextId);
    }

    /** A session for a Python process that does not know its context yet. */
    public static SparkSession spare(String name) {
        return SESSIONS.join().spare(name);
    }

    /** The session that was made as a spare, for the context that its process serves from now on. */
    public static SparkSession adopt(String name, String contextId) {
        return SESSIONS.join().adopt(name, contextId);
    }

    /** The driver's Spark context, as PySpark wants it. */
    public static JavaSparkContext sparkContext() {
        return new JavaSparkContext(SESSIONS.join().spark());
    }

    public static void main(String[] args) {
        if (args.length != 1) {
            System.err.println("usage: DriverMain FILE.properties");
            System.exit(2);
        }
        try {
            start(args[0]);
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.err.flush();
            System.exit(1);
        }
    }

    private static void start(String file) throws Exception {
        // Every thread of Spark inherits it: what Scala commands define is found wherever their objects come by.
        Thread.currentThread().setContextClassLoader(ReplClasses.LOADER);
        DriverProperties properties = DriverProperties.read(Paths.get(file));
        SparkConf conf = properties.sparkConf();
        boolean nodes = conf.get("spark.master").startsWith(NodesClusterManager.PREFIX);
        CompletableFuture<ControlServer> control = beside("control", () -> {
            ControlServer server = new ControlServer(
                    properties.port("boathouse.http.port", 0), properties.require("boathouse.token"));
            server.start();
            return server;
        });
        CompletableFuture<Py4JServer> gateway = beside("gateway", () -> {
            Py4JServer server = new Py4JServer(conf);
            server.start();
            writeGateway(properties.get("boathouse.gateway.file", ""), server);
            return server;
        });
        CompletableFuture<Void> classes = beside("classes", () -> {
            Warmup.withoutSpark();
            return null;
        });

        SparkContext context = new SparkContext(conf);
        CompletableFuture<Integer> connect = beside("connect", () -> {
            return properties.flag("boathouse.connect", true) ? Connect.start(context) : 0;
        });
        SparkSession root = SparkSession.builder().getOrCreate();
        Sessions sessions = new Sessions(root);
        SESSIONS.complete(sessions);
        ControlServer server = control.get();
        server.serve(new ControlServer.Running(sessions, nodes));
        ReadyLine.write(ready(context, server, gateway.get(), connect.get()));
        classes.get();
        if (properties.flag("boathouse.warmup", true) && !sessions.awaitUse(WARMUP_AFTER_MILLIS)) {
            Warmup.firstQuery(root);
        }
        new CountDownLatch(1).await(); // until a signal: Spark's own shutdown hook stops the context
    }

    /** Port and secret of the gateway, whole or not at all, for the Python process that is started beside this one. */
    private static void writeGateway(String file, Py4JServer gateway) throws Exception {
        if (file.isEmpty()) {
            return;
        }
        Path part = Paths.get(file + ".part");
        Files.deleteIfExists(part);
        Files.createFile(part, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        String json = "{\"port\":" + gateway.getListeningPort() + ",\"secret\":" + Json.quote(gateway.secret()) + "}";
        Files.write(part, json.getBytes(StandardCharsets.UTF_8));
        Files.move(part, Paths.get(file), StandardCopyOption.ATOMIC_MOVE);
    }

    private static String ready(SparkContext context, ControlServer server, Py4JServer gateway, int connectPort) {
        int ui = context.ui().isDefined() ? context.ui().get().boundPort() : 0;
        return "{\"http_port\":" + server.port()
                + ",\"gateway_port\":" + gateway.getListeningPort()
                + ",\"gateway_secret\":" + Json.quote(gateway.secret())
                + ",\"connect_port\":" + connectPort
                + ",\"ui_port\":" + ui
                + ",\"app_id\":" + Json.quote(context.applicationId())
                + ",\"spark_version\":" + Json.quote(context.version())
                + "}";
    }

    private interface Work<T> {
        T call() throws Exception;
    }

    private static <T> CompletableFuture<T> beside(String name, Work<T> work) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Thread thread = new Thread(
                () -> {
                    try {
                        result.complete(work.call());
                    } catch (Throwable failure) {
                        result.completeExceptionally(failure);
                    }
                },
                "boathouse-" + name);
        thread.setDaemon(true);
        thread.start();
        return result;
    }
}
