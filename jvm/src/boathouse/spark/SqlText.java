package boathouse.spark;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/** Cuts a command's text into SQL statements. Pure; knows quotes, escapes and comments, nothing of Spark. */
final class SqlText {
    private SqlText() {}

    /**
     * The statements between semicolons, without those that are blank or only comments. A text that opens with BEGIN
     * is a script of Spark 4 and stays whole.
     */
    static List<String> split(String text) {
        List<String> statements = new ArrayList<>();
        StringBuilder meaningful = new StringBuilder();
        int start = 0;
        int at = 0;
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c == '\'' || c == '"' || c == '`') {
                int end = endOfQuoted(text, at);
                meaningful.append(text, at, end);
                at = end;
            } else if (text.startsWith("--", at)) {
                at = endOfLine(text, at);
            } else if (text.startsWith("/*", at) && !text.startsWith("/*+", at)) {
                at = endOfComment(text, at);
            } else if (c == ';') {
                if (isScript(meaningful)) {
                    return Collections.singletonList(text);
                }
                add(statements, text.substring(start, at), meaningful);
                start = ++at;
            } else {
                meaningful.append(c);
                at++;
            }
        }
        add(statements, text.substring(start), meaningful);
        return statements;
    }

    private static void add(List<String> statements, String statement, StringBuilder meaningful) {
        if (!meaningful.toString().trim().isEmpty()) {
            statements.add(statement.trim());
        }
        meaningful.setLength(0);
    }

    private static boolean isScript(CharSequence meaningful) {
        String head = meaningful.toString().trim().toUpperCase(Locale.ROOT);
        return head.startsWith("BEGIN ") || head.startsWith("BEGIN\n") || head.startsWith("BEGIN\t")
                || head.startsWith("BEGIN\r");
    }

    private static int endOfQuoted(String text, int open) {
        char quote = text.charAt(open);
        int at = open + 1;
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c == '\\' && quote != '`') {
                at += 2;
            } else if (c == quote) {
                return at + 1;
            } else {
                at++;
            }
        }
        return text.length();
    }

    private static int endOfLine(String text, int from) {
        int end = text.indexOf('\n', from);
        return end < 0 ? text.length() : end;
    }

    /** Spark's block comments nest. */
    private static int endOfComment(String text, int open) {
        int depth = 1;
        int at = open + 2;
        while (at < text.length() && depth > 0) {
            if (text.startsWith("/*", at)) {
                depth++;
                at += 2;
            } else if (text.startsWith("*/", at)) {
                depth--;
                at += 2;
            } else {
                at++;
            }
        }
        return at;
    }
}
