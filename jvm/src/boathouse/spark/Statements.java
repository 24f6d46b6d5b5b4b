package boathouse.spark;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.ZoneId;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.SparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/**
 * Runs the driver's commands (SQL, and those of shells), each on a thread of its own and in a Spark job group of its own,
 * and keeps their results.
 */
final class Statements {
    /** Ended statements are forgotten after an hour, or when there are more than so many. */
    private static final long KEPT_MILLIS = TimeUnit.HOURS.toMillis(1);

    private static final int KEPT = 200;

    /** Rows that a shell's {@code display} shows at most. */
    static final int DISPLAY_ROWS = 10_000;

    /** How long the jobs' cancellation may take before the thread itself is interrupted (planning, listing files). */
    private static final long INTERRUPT_AFTER_MILLIS = 500;

    private final Sessions sessions;
    private final ConcurrentHashMap<String, Statement> statements = new ConcurrentHashMap<>();
    private final ExecutorService workers;

    Statements(Sessions sessions) {
        this.sessions = sessions;
        AtomicInteger number = new AtomicInteger();
        this.workers = Executors.newCachedThreadPool(run -> {
            Thread thread = new Thread(run, "boathouse-sql-" + number.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        });
    }

    /** Starts a statement. Called again with the same id it does nothing: the first one goes on. */
    void start(Statement statement) {
        forgetOld();
        if (statements.putIfAbsent(statement.id, statement) == null) {
            workers.execute(() -> run(statement));
        }
    }

    /** @return null when there is none, or it was forgotten */
    Statement find(String id) {
        return statements.get(id);
    }

    /** Cancels a statement and its Spark jobs; does not wait for them to be gone. An ended one is left as it is. */
    void cancel(Statement statement) {
        statement.askCancel();
        if (statement.running()) {
            workers.execute(() -> cancelUntilEnded(statement));
        }
    }

    /** Jobs may be submitted after their group was cancelled, so it is cancelled until the statement has ended. */
    private void cancelUntilEnded(Statement statement) {
        SparkContext spark = sessions.spark();
        try {
            long started = System.currentTimeMillis();
            do {
                spark.cancelJobGroup(statement.jobGroup());
                Thread worker = statement.worker;
                long ago = System.currentTimeMillis() - started;
                if (worker != null && ago > INTERRUPT_AFTER_MILLIS) {
                    if (statement.shell == null) {
                        worker.interrupt();
                    } else {
                        statement.shell.interrupt(worker, ago);
                    }
                }
            } while (!statement.await(200));
        } catch (InterruptedException stopping) {
            Thread.currentThread().interrupt();
        }
    }

    private void run(Statement statement) {
        statement.worker = Thread.currentThread();
        SparkContext spark = sessions.spark();
        try {
            SparkSession session = sessions.get(statement.context);
            SparkSession.setActiveSession(session);
            spark.setJobGroup(statement.jobGroup(), shortened(statement.text), true);
            if (statement.shell != null) {
                String result = statement.cancelAsked() ? "null" : statement.shell.run(statement);
                if (statement.cancelAsked()) {
                    statement.cancelled();
                } else {
                    statement.finish("\"result\":" + result);
                }
                return;
            }
            Dataset<Row> last = null;
            for (String each : SqlText.split(statement.text)) {
                if (statement.cancelAsked()) {
                    break;
                }
                last = session.sql(each);
            }
            AddedJars.publish(session);
            String table = last == null ? emptyTable() : table(session, last, statement.maxRows, statement.maxBytes);
            if (statement.cancelAsked()) {
                statement.cancelled();
            } else {
                statement.finish(table);
            }
        } catch (Throwable failure) {
            if (statement.cancelAsked()) {
                statement.cancelled();
            } else {
                statement.fail(summary(failure), trace(failure));
            }
            if (failure instanceof VirtualMachineError) {
                throw (VirtualMachineError) failure;
            }
        } finally {
            statement.worker = null;
            spark.clearJobGroup();
            SparkSession.clearActiveSession();
            Thread.interrupted();
        }
    }

    /** The members "schema", "data" and "truncated" of a table's first rows, as JSON text without braces. */
    static String table(SparkSession session, Dataset<Row> result, int maxRows, long maxBytes) throws IOException {
        StructType schema = result.schema();
        List<Row> rows = schema.length() == 0 ? java.util.Collections.emptyList() : result.takeAsList(more(maxRows));
        StringWriter text = new StringWriter();
        boolean truncated = rows.size() > maxRows;
        try (JsonGenerator out = Json.generator(text)) {
            RowWriter writer = new RowWriter(out, ZoneId.of(session.conf().get("spark.sql.session.timeZone")));
            out.writeStartObject();
            schema(out, schema);
            out.writeArrayFieldStart("data");
            Iterator<Row> each = rows.iterator();
            for (int count = 0; each.hasNext() && count < maxRows; count++) {
                if (text.getBuffer().length() > maxBytes) {
                    truncated = true;
                    break;
                }
                writer.row(each.next());
                out.flush();
            }
            out.writeEndArray();
            out.writeBooleanField("truncated", truncated);
            out.writeEndObject();
        }
        String whole = text.toString();
        return whole.substring(1, whole.length() - 1);
    }

    /** One row more than is shown says whether there are more. */
    private static int more(int maxRows) {
        return maxRows == Integer.MAX_VALUE ? maxRows : maxRows + 1;
    }

    private static void schema(JsonGenerator out, StructType schema) throws IOException {
        out.writeArrayFieldStart("schema");
        for (StructField field : schema.fields()) {
            out.writeStartObject();
            out.writeStringField("name", field.name());
            out.writeStringField("type", field.dataType().simpleString());
            out.writeStringField("json", field.dataType().json());
            out.writeStringField("metadata", field.metadata().json());
            out.writeEndObject();
        }
        out.writeEndArray();
    }

    private static String emptyTable() {
        return "\"schema\":[],\"data\":[],\"truncated\":false";
    }

    /** The exception's name as Spark's users know it, and the first line of what it says. */
    static String summary(Throwable failure) {
        String name = failure.getClass().getSimpleName();
        if (name.startsWith("Extended")) {
            name = name.substring("Extended".length());
        }
        String message = failure.getMessage() == null ? "" : failure.getMessage().trim();
        int end = message.indexOf('\n');
        String first = end < 0 ? message : message.substring(0, end).trim();
        return first.isEmpty() ? name : name + ": " + first;
    }

    static String trace(Throwable failure) {
        StringWriter text = new StringWriter();
        failure.printStackTrace(new PrintWriter(text, true));
        return text.toString();
    }

    private static String shortened(String text) {
        String line = text.trim().replaceAll("\\s+", " ");
        return line.length() <= 200 ? line : line.substring(0, 199) + "…";
    }

    /** Forgets a context's statements, cancelling those that run. */
    void forgetContext(String context) {
        for (Statement statement : statements.values()) {
            if (statement.context.equals(context)) {
                cancel(statement);
                statements.remove(statement.id);
            }
        }
    }

    private void forgetOld() {
        long now = System.currentTimeMillis();
        statements.values().removeIf(each -> !each.running() && now - each.endedAtMillis() > KEPT_MILLIS);
        while (statements.size() > KEPT) {
            Statement oldest = null;
            for (Statement each : statements.values()) {
                if (!each.running() && (oldest == null || each.endedAtMillis() < oldest.endedAtMillis())) {
                    oldest = each;
                }
            }
            if (oldest == null) {
                return;
            }
            statements.remove(oldest.id);
        }
    }
}
