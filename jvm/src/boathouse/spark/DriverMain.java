package boathouse.spark;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.python.Py4JServer;
import org.apache.spark.scheduler.boathouse.ContextPackages;
import org.apache.spark.scheduler.boathouse.NodesClusterManager;
import org.apache.spark.sql.SparkSession;

/**
 * The driver process of a cluster: a Spark context and, on loopback, Spark Connect, a Py4J gateway for the Python
 * contexts and the control interface. Says on the ready descriptor that it serves, and runs until it is signalled.
 *
 * <p>With {@code boathouse.standby} it does so before there is a cluster, rehearses, says that it is ready, and serves the
 * cluster that takes it ({@link Standby}).
 *
 * <p>What does not need the Spark context is set up beside it on other threads: start-up is what users wait for.
 */
public final class DriverMain {
    /** A user who comes at once does the warming up; a warm-up beside it would take the processor from it. */
    private static final long WARMUP_AFTER_MILLIS = 1000;

    /** How long a driver in standby waits for the Python process beside it. */
    private static final long PYTHON_REHEARSES_MILLIS = 30_000;

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

    /** Called by the Python process beside a driver in standby when it has used Spark for the first time. */
    public static void rehearsed() {
        Standby.PYTHON_REHEARSED.countDown();
    }

    /** Of a driver that stood by: the variables that came with the cluster that took it; they hold for Python too. */
    public static Map<String, String> lateEnvironment() {
        return Standby.lateEnvironment();
    }

    /** As whom the context calls the control plane from its session: for its Python process. */
    public static void bind(String contextId, String socket, String capability) {
        SESSIONS.join().bind(contextId, new NodeCalls(socket, capability));
    }

    /** See {@link ContextPackages#folderOf}: for the context's Python process. */
    public static String packages(String contextId, String own) throws IOException {
        return ContextPackages.folderOf(contextId, own);
    }

    /** See {@link ContextPackages#executorsFolder}. */
    public static String executorsPackages() throws IOException {
        return ContextPackages.executorsFolder();
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
        boolean standby = properties.flag("boathouse.standby", false);
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
            writeGateway(properties.get("boathouse.gateway.file", ""), server, standby);
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
        SparkSession root = RootSession.make();
        Sessions sessions = new Sessions(root);
        SESSIONS.complete(sessions);
        ControlServer server = control.get();
        server.serve(new ControlServer.Running(sessions, nodes, standby));
        if (standby) {
            classes.get();
            connect.get();
            Warmup.rehearse(root);
            if (conf.contains("spark.pyspark.python")) {
                Standby.PYTHON_REHEARSED.await(PYTHON_REHEARSES_MILLIS, TimeUnit.MILLISECONDS);
            }
            System.gc(); // what starting left behind is given back before the waiting begins
        }
        ReadyLine.write(ready(context, server, gateway.get(), connect.get()));
        classes.get();
        if (!standby && properties.flag("boathouse.warmup", true) && !sessions.awaitUse(WARMUP_AFTER_MILLIS)) {
            Warmup.firstQuery(root);
        }
        new CountDownLatch(1).await(); // until a signal: Spark's own shutdown hook stops the context
    }

    /** Port and secret of the gateway, whole or not at all, for the Python process that is started beside this one. */
    private static void writeGateway(String file, Py4JServer gateway, boolean standby) throws Exception {
        if (file.isEmpty()) {
            return;
        }
        Path part = Paths.get(file + ".part");
        Files.deleteIfExists(part);
        Files.createFile(part, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        String json = "{\"port\":" + gateway.getListeningPort() + ",\"secret\":" + Json.quote(gateway.secret())
                + ",\"rehearse\":" + standby + "}";
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
