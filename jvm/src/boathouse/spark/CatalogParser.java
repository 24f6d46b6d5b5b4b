package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.regex.Pattern;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.execution.SparkSqlParser;

/**
 * GRANT, REVOKE, SHOW GRANTS and ALTER ... OWNER TO: sent to the control plane as they are written, which understands
 * and decides them as the principal whose context it is. They are carried out when they are parsed; the plan only shows
 * the answer. Nothing is decided here.
 *
 * <p>It takes the place of Spark's own parser, below those of Delta and of the customer's extensions, and is the same
 * for every other statement.
 */
final class CatalogParser extends SparkSqlParser {
    private static final Pattern OURS = Pattern.compile(
            "(GRANT|REVOKE|SHOW\\s+GRANTS?)\\b.*|ALTER\\s+[A-Z]+\\s.*\\bOWNER\\s+TO\\s.*",
            Pattern.CASE_INSENSITIVE | Pattern.DOTALL);

    /** A command that does nothing and has no result, in any Spark. */
    private static final String NOTHING = "RESET spark.boathouse.nothing";

    private static final Map<Object, NodeCalls> CALLS = Collections.synchronizedMap(new WeakHashMap<>());

    private final Object session;

    CatalogParser(Object session) {
        this.session = session;
    }

    /** As whom the statements of a session are sent. */
    static void bind(Object session, NodeCalls calls) {
        CALLS.put(session, calls);
    }

    @Override
    public LogicalPlan parsePlan(String text) {
        String statement = statement(text);
        if (statement == null) {
            return super.parsePlan(text);
        }
        NodeCalls calls = CALLS.get(session);
        if (calls == null || !calls.possible()) {
            throw new UnsupportedOperationException(
                    "GRANT, REVOKE, SHOW GRANTS and ALTER ... OWNER TO work in the session of a command context, in its language");
        }
        return super.parsePlan(shown(calls.call("catalog.sql", "{\"statement\":" + Json.quote(statement) + "}")));
    }

    /** The statement when it is one of the catalog's, without what stands before it; null for any other. */
    static String statement(String text) {
        int at = 0;
        while (at < text.length()) {
            if (Character.isWhitespace(text.charAt(at))) {
                at++;
            } else if (text.startsWith("--", at)) {
                int end = text.indexOf('\n', at);
                at = end < 0 ? text.length() : end;
            } else if (text.startsWith("/*", at) && !text.startsWith("/*+", at)) {
                int end = text.indexOf("*/", at + 2);
                at = end < 0 ? text.length() : end + 2;
            } else {
                break;
            }
        }
        if (at == text.length() || "GRSAgrsa".indexOf(text.charAt(at)) < 0) {
            return null;
        }
        String rest = text.substring(at);
        return OURS.matcher(rest).matches() ? rest : null;
    }

    /** A query whose result is the answer: texts as bytes, so that nothing in them is read as SQL. */
    private static String shown(JsonNode answer) {
        JsonNode columns = answer.path("columns");
        if (columns.size() == 0) {
            return NOTHING;
        }
        StringBuilder query = new StringBuilder("SELECT ");
        for (int at = 0; at < columns.size(); at++) {
            query.append(at == 0 ? "" : ", ").append("CAST(c").append(at).append(" AS STRING) AS `")
                    .append(columns.get(at).asText().replace("`", "``")).append('`');
        }
        query.append(" FROM VALUES ");
        JsonNode rows = answer.path("rows");
        for (int row = 0; row < Math.max(1, rows.size()); row++) {
            query.append(row == 0 ? "(" : ", (");
            for (int at = 0; at < columns.size(); at++) {
                query.append(at == 0 ? "X'" : ", X'").append(hex(rows.path(row).path(at).asText())).append('\'');
            }
            query.append(')');
        }
        query.append(" AS t(");
        for (int at = 0; at < columns.size(); at++) {
            query.append(at == 0 ? "c" : ", c").append(at);
        }
        return query.append(rows.size() == 0 ? ") WHERE false" : ")").toString();
    }

    private static String hex(String text) {
        StringBuilder hex = new StringBuilder();
        for (byte each : text.getBytes(StandardCharsets.UTF_8)) {
            hex.append(Character.forDigit(each >> 4 & 15, 16)).append(Character.forDigit(each & 15, 16));
        }
        return hex.toString();
    }
}
