package boathouse.spark;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Cuts a Scala command so that its classes are defined before what follows them runs: Spark can make objects of a class
 * only once the definition around it is complete. Pure; knows strings, comments and brackets, not the language's grammar.
 */
final class ScalaText {
    private static final Pattern CLASS = Pattern.compile(
            "^(?:@\\w+(?:\\([^)]*\\))?\\s+)*(?:(?:private|protected|sealed|abstract|final|implicit|case|lazy)\\s+)*"
                    + "(?:class|trait|object)\\b.*",
            Pattern.DOTALL);
    private static final Pattern GOES_ON =
            Pattern.compile("^(?:extends|with|else|catch|finally|yield|match)\\b.*|^[{(.,=:].*", Pattern.DOTALL);
    private static final Pattern UNFINISHED =
            Pattern.compile(".*(?:[=,(\\[{.]|=>|\\b(?:extends|with|class|trait|object|new|else))$", Pattern.DOTALL);

    private ScalaText() {}

    /** The command in parts of whole lines, in order; one part where there is nothing to cut. */
    static List<String> parts(String code) {
        List<String> parts = new ArrayList<>();
        StringBuilder part = new StringBuilder();
        boolean classes = false;
        boolean empty = true;
        for (String each : statements(code)) {
            String bare = uncommented(each).trim();
            boolean isClass = CLASS.matcher(bare).matches();
            if (classes && !isClass && !bare.isEmpty() || isClass && !classes && !empty) {
                parts.add(part.toString());
                part.setLength(0);
                empty = true;
            }
            if (!bare.isEmpty()) {
                classes = isClass;
                empty = false;
            }
            part.append(each);
        }
        parts.add(part.toString());
        return parts;
    }

    /** Whether there is nothing in it to run. */
    static boolean isBlank(String code) {
        return uncommented(code).trim().isEmpty();
    }

    /** Lines, joined where brackets, strings or comments are open, or where the code seems to go on. */
    private static List<String> statements(String code) {
        List<String> statements = new ArrayList<>();
        int start = 0;
        int depth = 0;
        for (int at = 0; at < code.length(); ) {
            char c = code.charAt(at);
            int skipped = skipped(code, at);
            if (skipped > at) {
                at = skipped;
                continue;
            }
            depth += c == '{' || c == '(' || c == '[' ? 1 : c == '}' || c == ')' || c == ']' ? -1 : 0;
            at++;
            if (c == '\n' && depth <= 0 && !goesOn(code.substring(start, at), code.substring(at))) {
                statements.add(code.substring(start, at));
                start = at;
                depth = 0;
            }
        }
        statements.add(code.substring(start));
        return statements;
    }

    private static boolean goesOn(String before, String after) {
        return UNFINISHED.matcher(uncommented(before).trim()).matches()
                || GOES_ON.matcher(uncommented(after.substring(0, Math.min(after.length(), 2000))).trim()).matches();
    }

    /** The end of the string or comment that begins at `at`; `at` itself when none does. */
    private static int skipped(String code, int at) {
        if (code.startsWith("//", at)) {
            int end = code.indexOf('\n', at);
            return end < 0 ? code.length() : end;
        }
        if (code.startsWith("/*", at)) {
            int end = code.indexOf("*/", at + 2);
            return end < 0 ? code.length() : end + 2;
        }
        if (code.startsWith("\"\"\"", at)) {
            int end = code.indexOf("\"\"\"", at + 3);
            return end < 0 ? code.length() : end + 3;
        }
        if (code.charAt(at) == '"') {
            int end = at + 1;
            while (end < code.length() && code.charAt(end) != '"' && code.charAt(end) != '\n') {
                end += code.charAt(end) == '\\' ? 2 : 1;
            }
            return Math.min(code.length(), end + 1);
        }
        boolean character = code.charAt(at) == '\'' && at + 2 < code.length() && code.charAt(at + 1) != '\\'
                && code.charAt(at + 2) == '\'';
        return character ? at + 3 : at;
    }

    private static String uncommented(String code) {
        StringBuilder bare = new StringBuilder();
        for (int at = 0; at < code.length(); ) {
            int end = skipped(code, at);
            if (end == at) {
                bare.append(code.charAt(at++));
            } else {
                bare.append(code.charAt(at) == '/' ? "" : code.substring(at, end));
                at = end;
            }
        }
        return bare.toString();
    }
}
