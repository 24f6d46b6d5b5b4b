package boathouse.spark;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * One command and what became of it. Goes from RUNNING to exactly one of the others; the first one to end it wins.
 */
final class Statement {
    enum State {
        RUNNING,
        FINISHED,
        ERROR,
        CANCELLED
    }

    final String id;
    final String context;
    final String text;
    final int maxRows;
    final long maxBytes;

    /** What runs it: the shell of its language, null for SQL. */
    final Shell shell;

    /** The thread that runs it, while it runs. */
    volatile Thread worker;

    private volatile boolean cancelAsked;
    private final CountDownLatch ended = new CountDownLatch(1);
    private State state = State.RUNNING;
    private String table = "";
    private String summary = "";
    private String cause = "";
    private long endedAtMillis;

    Statement(String id, String context, String text, int maxRows, long maxBytes, Shell shell) {
        this.id = id;
        this.shell = shell;
        this.context = context;
        this.text = text;
        this.maxRows = maxRows;
        this.maxBytes = maxBytes;
    }

    /** Spark's job group of everything that this statement runs. */
    String jobGroup() {
        return "boathouse-sql-" + id;
    }

    void askCancel() {
        cancelAsked = true;
    }

    boolean cancelAsked() {
        return cancelAsked;
    }

    /**
     * @param table the members "schema", "data" and "truncated" of an SQL command, "result" of another, as JSON text
     *     without braces
     */
    void finish(String table) {
        end(State.FINISHED, table, "", "");
    }

    void fail(String summary, String cause) {
        end(State.ERROR, "", summary, cause);
    }

    void cancelled() {
        end(State.CANCELLED, "", "Command was cancelled", "");
    }

    private synchronized void end(State how, String itsTable, String itsSummary, String itsCause) {
        if (state != State.RUNNING) {
            return;
        }
        state = how;
        table = itsTable;
        summary = itsSummary;
        cause = itsCause;
        endedAtMillis = System.currentTimeMillis();
        ended.countDown();
    }

    /** Waits until it has ended, at most so long. */
    boolean await(long millis) throws InterruptedException {
        return ended.await(millis, TimeUnit.MILLISECONDS);
    }

    boolean running() {
        return ended.getCount() > 0;
    }

    synchronized long endedAtMillis() {
        return endedAtMillis;
    }

    /** The answer of GET /sql/{id}. */
    synchronized String json() {
        StringBuilder json = new StringBuilder("{\"id\":").append(Json.quote(id));
        json.append(",\"state\":\"").append(state.name().toLowerCase(java.util.Locale.ROOT)).append('"');
        if (!table.isEmpty()) {
            json.append(',').append(table);
        }
        if (!summary.isEmpty()) {
            json.append(",\"summary\":").append(Json.quote(summary)).append(",\"cause\":").append(Json.quote(cause));
        }
        return json.append('}').toString();
    }
}
