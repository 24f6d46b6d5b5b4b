package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.SchedulerBackend;
import org.apache.spark.scheduler.boathouse.ContextPackages;
import org.apache.spark.scheduler.boathouse.NodesDemand;
import org.apache.spark.scheduler.boathouse.NodesExecutors;
import org.apache.spark.scheduler.boathouse.NodesSchedulerBackend;

/**
 * The driver's control interface, on loopback: only the node's daemon reaches it, for the control plane at the other
 * end of the tunnel. Every call carries the bearer token of the driver's configuration file.
 */
final class ControlServer {
    private static final int BODY_LIMIT = 16 << 20;
    private static final int MAX_ROWS_DEFAULT = 1000;
    private static final long MAX_BYTES_DEFAULT = 20L << 20;
    private static final long WAIT_LIMIT_MILLIS = 60_000;

    private final byte[] authorization;
    private final HttpServer server;
    private volatile Running running;

    /** What there is once Spark is up. */
    static final class Running {
        final Sessions sessions;
        final Statements statements;
        final boolean nodes;
        final boolean standby;

        Running(Sessions sessions, boolean nodes, boolean standby) {
            this.sessions = sessions;
            this.statements = new Statements(sessions);
            this.nodes = nodes;
            this.standby = standby;
        }
    }

    /** An answer that is not 200. */
    private static final class Refusal extends Exception {
        final int status;

        Refusal(int status, String message) {
            super(message);
            this.status = status;
        }
    }

    private static final class Answer {
        final int status;
        final String json;

        Answer(int status, String json) {
            this.status = status;
            this.json = json;
        }
    }

    ControlServer(int port, String token) throws IOException {
        this.authorization = ("Bearer " + token).getBytes(StandardCharsets.UTF_8);
        this.server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 64);
        AtomicInteger number = new AtomicInteger();
        server.setExecutor(Executors.newCachedThreadPool(run -> {
            Thread thread = new Thread(run, "boathouse-control-" + number.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        }));
        server.createContext("/", this::handle);
    }

    int port() {
        return server.getAddress().getPort();
    }

    void start() {
        server.start();
    }

    void serve(Running spark) {
        this.running = spark;
    }

    private void handle(HttpExchange exchange) throws IOException {
        Answer answer;
        try {
            answer = route(exchange);
        } catch (Refusal refusal) {
            answer = new Answer(refusal.status, error(refusal.getMessage()));
        } catch (IllegalArgumentException | com.fasterxml.jackson.core.JsonProcessingException bad) {
            answer = new Answer(400, error(String.valueOf(bad.getMessage())));
        } catch (InterruptedException stopping) {
            Thread.currentThread().interrupt();
            answer = new Answer(503, error("the driver is stopping"));
        } catch (RuntimeException | LinkageError failure) { // an answer in any case: the caller waits for one
            failure.printStackTrace();
            answer = new Answer(500, error(Statements.summary(failure)));
        }
        byte[] body = answer.json.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(answer.status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private Answer route(HttpExchange exchange) throws IOException, Refusal, InterruptedException {
        String given = exchange.getRequestHeaders().getFirst("Authorization");
        byte[] bytes = given == null ? new byte[0] : given.getBytes(StandardCharsets.UTF_8);
        if (!MessageDigest.isEqual(authorization, bytes)) {
            throw new Refusal(401, "the token is missing or wrong");
        }
        byte[] body = read(exchange.getRequestBody());
        String method = exchange.getRequestMethod();
        String[] path = exchange.getRequestURI().getPath().substring(1).split("/", -1);
        String call = method + " " + path[0] + " " + path.length;
        if (call.equals("GET health 1")) {
            return health();
        }
        Running spark = running;
        if (spark == null) {
            throw new Refusal(503, "Spark is not up yet");
        }
        switch (call) {
            case "POST sessions 1":
                return open(spark, Json.parse(body));
            case "DELETE sessions 2":
                spark.statements.forgetContext(path[1]);
                Shells.closeAll(path[1]);
                ContextPackages.end(path[1]);
                return new Answer(200, "{\"removed\":" + spark.sessions.remove(path[1]) + "}");
            case "POST sql 1":
                return execute(spark, Json.parse(body));
            case "GET sql 2":
                return result(spark, path[1], exchange.getRequestURI().getQuery());
            case "POST cancel 1":
                return cancel(spark, text(Json.parse(body), "id"));
            case "POST take 1":
                return take(spark, Json.parse(body));
            case "POST executors 3":
                if (path[2].equals("decommission")) {
                    return decommission(spark, path[1]);
                }
                break;
            default:
                break;
        }
        throw new Refusal(404, "no such call: " + method + " " + exchange.getRequestURI().getPath());
    }

    private Answer health() {
        Running spark = running;
        if (spark == null) {
            return new Answer(200, "{\"state\":\"starting\",\"app_id\":\"\",\"executors\":[]}");
        }
        SparkContext context = spark.sessions.spark();
        StringBuilder json = new StringBuilder("{\"state\":\"");
        json.append(context.isStopped() ? "stopped" : "running");
        json.append("\",\"app_id\":").append(Json.quote(context.applicationId())).append(",\"executors\":[");
        NodesDemand demand = NodesDemand.of(context);
        String comma = "";
        for (NodesExecutors.Seen seen : NodesExecutors.all()) {
            json.append(comma).append("{\"id\":").append(Json.quote(seen.id));
            json.append(",\"host\":").append(Json.quote(seen.host)).append(",\"cores\":").append(seen.cores);
            json.append(",\"alive\":").append(seen.alive).append(",\"reason\":").append(Json.quote(seen.reason));
            json.append(",\"running\":").append(demand.runningOn(seen.id));
            json.append(",\"idle_ms\":").append(NodesExecutors.idleMillis(seen.id)).append('}');
            comma = ",";
        }
        json.append("],\"pending_tasks\":").append(demand.pending).append(",\"running_tasks\":").append(demand.running);
        json.append(",\"busy\":").append(demand.jobs > 0 || spark.sessions.streaming());
        return new Answer(200, json.append('}').toString());
    }

    /**
     * A context's Spark session, and with a {@code language} the shell of it; {@code peek} opens none. With a capability in
     * {@code options} the session calls the control plane as the context.
     */
    private static Answer open(Running spark, JsonNode body) {
        String context = text(body, "context");
        spark.sessions.get(context);
        if (body.path("options").has("capability") && !body.path("options").path("capability").asText().isEmpty()) {
            spark.sessions.bind(context, NodeCalls.of(body.path("options")));
        }
        if (!body.has("language")) {
            return new Answer(200, "{}");
        }
        String language = text(body, "language");
        if (body.path("peek").asBoolean() && !Shells.has(context, language)) {
            return new Answer(200, "{\"state\":\"absent\",\"message\":\"\"}");
        }
        return new Answer(200, Shells.open(context, language, body.path("options")).json());
    }

    private static Answer execute(Running spark, JsonNode body) throws Refusal {
        int maxRows = body.path("max_rows").asInt(MAX_ROWS_DEFAULT);
        if (maxRows < 0) {
            throw new IllegalArgumentException("'max_rows' is negative");
        }
        long maxBytes = body.path("max_bytes").asLong(MAX_BYTES_DEFAULT);
        Shell shell = null;
        if (body.has("language")) {
            shell = Shells.find(text(body, "context"), text(body, "language"));
            if (shell == null) {
                throw new Refusal(409, "the context has no shell of this language");
            }
        }
        spark.statements.start(new Statement(
                text(body, "id"), text(body, "context"), text(body, "statement"), maxRows, maxBytes, shell));
        return new Answer(202, "{}");
    }

    private static Answer result(Running spark, String id, String query) throws Refusal, InterruptedException {
        Statement statement = find(spark, id);
        long wait = 0;
        if (query != null && query.startsWith("wait_ms=")) {
            wait = Math.min(Long.parseLong(query.substring("wait_ms=".length())), WAIT_LIMIT_MILLIS);
        }
        statement.await(wait);
        return new Answer(200, statement.json());
    }

    private static Answer cancel(Running spark, String id) throws Refusal {
        spark.statements.cancel(find(spark, id));
        return new Answer(200, "{}");
    }

    /** A cluster takes this driver, which stood by; again with the same words: nothing more happens. */
    private static Answer take(Running spark, JsonNode body) throws Refusal {
        if (!spark.standby) {
            throw new Refusal(409, "this driver does not stand by");
        }
        try {
            Standby.take(spark.sessions, texts(body, "properties"), texts(body, "environment"));
        } catch (Standby.Misfit misfit) {
            throw new Refusal(409, misfit.getMessage());
        }
        return new Answer(200, "{}");
    }

    private static Map<String, String> texts(JsonNode body, String field) {
        Map<String, String> found = new TreeMap<>();
        body.path(field).fields().forEachRemaining(entry -> {
            if (!entry.getValue().isTextual()) {
                throw new IllegalArgumentException("'" + field + "." + entry.getKey() + "' is not a string");
            }
            found.put(entry.getKey(), entry.getValue().asText());
        });
        return found;
    }

    private static Answer decommission(Running spark, String executor) throws Refusal {
        SchedulerBackend backend = spark.sessions.spark().schedulerBackend();
        if (!(backend instanceof NodesSchedulerBackend)) {
            throw new Refusal(409, "this cluster has no executors of its own");
        }
        boolean known = ((NodesSchedulerBackend) backend).decommission(executor, "the cluster is getting smaller");
        return new Answer(200, "{\"accepted\":" + known + "}");
    }

    private static Statement find(Running spark, String id) throws Refusal {
        Statement statement = spark.statements.find(id);
        if (statement == null) {
            throw new Refusal(404, "no statement '" + id + "'");
        }
        return statement;
    }

    private static String text(JsonNode body, String field) {
        JsonNode value = body.get(field);
        if (value == null || !value.isTextual()) {
            throw new IllegalArgumentException("'" + field + "' is missing or not a string");
        }
        return value.asText();
    }

    private static String error(String message) {
        return "{\"error\":" + Json.quote(message) + "}";
    }

    private static byte[] read(InputStream in) throws IOException, Refusal {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        byte[] part = new byte[8192];
        for (int n = in.read(part); n >= 0; n = in.read(part)) {
            body.write(part, 0, n);
            if (body.size() > BODY_LIMIT) {
                throw new Refusal(413, "the body is larger than " + BODY_LIMIT + " bytes");
            }
        }
        return body.toByteArray();
    }
}
