package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** {@code dbutils} of a Scala context: fs, widgets, notebook.exit and secrets. R's asks the same of fs and secrets. */
public final class DbUtils {
    public final Widgets widgets = new Widgets();
    public final Notebook notebook = new Notebook();
    public final Secrets secrets;
    public final DbFs fs;

    private DbUtils(NodeCalls calls) {
        this.secrets = new Secrets(calls);
        this.fs = new DbFs(calls);
    }

    /** @param options {@code socket} and {@code capability}: how the context calls the control plane */
    static DbUtils of(JsonNode options) {
        return new DbUtils(NodeCalls.of(options));
    }

    public void help() {
        scala.Console.println("dbutils in Scala: fs (ls, head, put, cp, mv, rm, mkdirs), widgets (text, dropdown, combobox, multiselect, get, getAll, remove,"
                + " removeAll), notebook.exit, secrets (get, getBytes, list, listScopes)");
    }

    @Override
    public String toString() {
        return "dbutils: fs, widgets, notebook, secrets";
    }

    /** Values that a command's author names and whoever runs it sets; there is no page here, so the default holds. */
    public static final class Widgets {
        private final Map<String, String> values = new LinkedHashMap<>();

        private Widgets() {}

        public void text(String name, String defaultValue, String label) {
            values.putIfAbsent(name, defaultValue);
        }

        public void text(String name, String defaultValue) {
            text(name, defaultValue, name);
        }

        public void dropdown(String name, String defaultValue, scala.collection.Seq<String> choices, String label) {
            if (!choices.contains(defaultValue)) {
                throw new IllegalArgumentException(
                        "The default value '" + defaultValue + "' of widget " + name + " is not one of its choices");
            }
            values.putIfAbsent(name, defaultValue);
        }

        public void dropdown(String name, String defaultValue, scala.collection.Seq<String> choices) {
            dropdown(name, defaultValue, choices, name);
        }

        public void combobox(String name, String defaultValue, scala.collection.Seq<String> choices, String label) {
            values.putIfAbsent(name, defaultValue);
        }

        public void combobox(String name, String defaultValue, scala.collection.Seq<String> choices) {
            combobox(name, defaultValue, choices, name);
        }

        public void multiselect(String name, String defaultValue, scala.collection.Seq<String> choices, String label) {
            dropdown(name, defaultValue, choices, label);
        }

        public void multiselect(String name, String defaultValue, scala.collection.Seq<String> choices) {
            dropdown(name, defaultValue, choices, name);
        }

        public String get(String name) {
            String value = values.get(name);
            if (value == null) {
                throw new java.util.NoSuchElementException("InputWidgetNotDefined: No input widget named " + name
                        + " is defined");
            }
            return value;
        }

        public scala.collection.immutable.Map<String, String> getAll() {
            scala.collection.immutable.Map<String, String> all = scala.collection.immutable.Map$.MODULE$.empty();
            for (Map.Entry<String, String> each : values.entrySet()) {
                all = all.updated(each.getKey(), each.getValue());
            }
            return all;
        }

        public void remove(String name) {
            values.remove(name);
        }

        public void removeAll() {
            values.clear();
        }
    }

    /** Ends a command early with a value. */
    public static final class NotebookExit extends RuntimeException {
        NotebookExit(String value) {
            super(value, null, false, false);
        }
    }

    /** notebook.exit. */
    public static final class Notebook {
        private Notebook() {}

        public void exit(String value) {
            throw new NotebookExit(value);
        }

        public String run(Object... ignored) {
            throw new UnsupportedOperationException("dbutils.notebook.run is not served by Boathouse yet");
        }
    }

    /** Secrets, as far as the context's principal may read them: every call is decided by the control plane. */
    public static final class Secrets {
        private final NodeCalls calls;

        Secrets(NodeCalls calls) {
            this.calls = calls;
        }

        public String get(String scope, String key) {
            return new String(getBytes(scope, key), StandardCharsets.UTF_8);
        }

        public byte[] getBytes(String scope, String key) {
            JsonNode found = call(
                    "secrets.get", "{\"scope\":" + Json.quote(scope) + ",\"key\":" + Json.quote(key) + "}");
            return Base64.getDecoder().decode(found.path("bytes").asText());
        }

        public scala.collection.immutable.List<String> list(String scope) {
            return names(call("secrets.list", "{\"scope\":" + Json.quote(scope) + "}"), "key");
        }

        public scala.collection.immutable.List<String> listScopes() {
            return names(call("secrets.listScopes", "{}"), "name");
        }

        private static scala.collection.immutable.List<String> names(JsonNode found, String field) {
            List<String> names = new ArrayList<>();
            found.forEach(each -> names.add(each.path(field).asText()));
            scala.collection.immutable.List<String> list = scala.collection.immutable.List$.MODULE$.empty();
            for (int at = names.size() - 1; at >= 0; at--) {
                list = new scala.collection.immutable.$colon$colon<>(names.get(at), list);
            }
            return list;
        }

        private JsonNode call(String method, String params) {
            return calls.require("dbutils.secrets").call(method, params);
        }
    }
}
