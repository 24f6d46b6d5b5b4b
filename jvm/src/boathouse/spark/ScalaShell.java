package boathouse.spark;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.net.URL;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.spark.sql.Dataset;
import scala.Console;
import scala.Function0;
import scala.Option;
import scala.collection.JavaConverters;
import scala.runtime.AbstractFunction0;
import scala.runtime.AbstractFunction1;
import scala.runtime.BoxedUnit;
import scala.tools.nsc.Settings;
import scala.tools.nsc.interpreter.IMain;

/**
 * Scala commands of one context: the compiler's own interpreter inside the driver, as Spark's shell has it. Written for
 * Scala 2.12 and 2.13, whose interpreters are made differently.
 */
public final class ScalaShell implements Shell {
    /** A thread that ignores its interruption for so long is stopped, when nothing but the command's own code runs. */
    private static final long STOP_AFTER_MILLIS = 2000;

    private static final String LINE = "$line";
    private static final Pattern ERROR = Pattern.compile("^.*\\berror: .*$", Pattern.MULTILINE);
    /** The frames of a trace that lie below the command's own code. */
    private static final Pattern OURS = Pattern.compile("\\tat \\$line\\d+\\.\\$(?:eval|read\\$\\.<clinit>).*\\n(?:\\tat .*\\n)*");

    /** The classes that the interpreter wraps a command in, one in the other. */
    private static final String WRAPPER = "\\tat \\$line\\d+\\.\\$read(?:\\$\\$iw)*\\.<init>\\(.*\\)\\n";

    private static final Pattern WRAPPERS = Pattern.compile("(" + WRAPPER + ")(?:" + WRAPPER + ")+");

    private static final ThreadLocal<ScalaShell> RUNNING = new ThreadLocal<>();

    private final String context;
    private final DbUtils dbutils;
    private final int number = ReplClasses.number();
    private final StringWriter reported = new StringWriter();
    private final CountDownLatch started = new CountDownLatch(1);
    private volatile Standing standing = Standing.STARTING;
    private IMain interpreter;
    private int jars;
    private Throwable lastFailure;
    private Throwable thrown;
    private Dataset<?> displayed;
    private StringBuilder html;

    ScalaShell(String context, DbUtils dbutils) {
        this.context = context;
        this.dbutils = dbutils;
    }

    @Override
    public void start() {
        CommandOutput.install();
        Thread thread = new Thread(this::prepare, "boathouse-scala-start");
        thread.setDaemon(true);
        thread.start();
    }

    private void prepare() {
        RUNNING.set(this);
        try {
            interpreter = interpreter(settings());
            ReplClasses.register(number, interpreter.classLoader());
            for (String line : prelude()) {
                String how = interpreter.interpret(line).toString();
                if (!how.equals("Success")) {
                    throw new IllegalStateException(reported.toString());
                }
            }
            reported.getBuffer().setLength(0);
            standing = Standing.READY;
        } catch (Throwable failure) {
            failure.printStackTrace();
            standing = Standing.failed("Scala could not be started: " + Statements.summary(failure));
        } finally {
            RUNNING.remove();
            started.countDown();
        }
    }

    private String[] prelude() {
        return new String[] {
            "@transient val spark: org.apache.spark.sql.SparkSession = boathouse.spark.ScalaShell.session()\n"
                    + "@transient val sc: org.apache.spark.SparkContext = spark.sparkContext\n"
                    + "@transient val dbutils: boathouse.spark.DbUtils = boathouse.spark.ScalaShell.utilities()\n"
                    + "def display(value: Any): Unit = boathouse.spark.ScalaShell.display(value)\n"
                    + "def displayHTML(html: String): Unit = boathouse.spark.ScalaShell.displayHtml(html)",
            "import org.apache.spark.SparkContext._",
            "import spark.implicits._",
            "import spark.sql",
            "import org.apache.spark.sql.functions._",
        };
    }

    private static Settings settings() throws IOException {
        Settings settings = new Settings(new AbstractFunction1<String, BoxedUnit>() {
            @Override
            public BoxedUnit apply(String message) {
                throw new IllegalArgumentException(message);
            }
        });
        settings.processArgumentString("-usejavacp -deprecation:false -Yrepl-class-based -Yrepl-outdir "
                + ReplClasses.folder().getPath());
        return settings;
    }

    private IMain interpreter(Settings settings) throws ReflectiveOperationException {
        PrintWriter out = new PrintWriter(reported, true);
        IMain made = null;
        for (Constructor<?> each : IMain.class.getConstructors()) {
            Class<?>[] types = each.getParameterTypes();
            if (types.length == 2 && types[1] == PrintWriter.class) { // 2.12
                made = (IMain) each.newInstance(settings, out);
            } else if (types.length == 4) { // 2.13
                Object reporter = Class.forName("scala.tools.nsc.interpreter.shell.ReplReporterImpl")
                        .getConstructor(Settings.class, PrintWriter.class)
                        .newInstance(settings, out);
                made = (IMain) each.newInstance(
                        settings, Option.apply((ClassLoader) AddedJars.LOADER), settings, reporter);
            }
        }
        if (made == null) {
            throw new NoSuchMethodException("this Scala's interpreter cannot be made");
        }
        for (String name : new String[] {"initializeSynchronous", "initializeCompiler"}) {
            for (Method each : IMain.class.getMethods()) {
                if (each.getName().equals(name) && each.getParameterCount() == 0) {
                    each.invoke(made);
                }
            }
        }
        numberLines(made);
        return made;
    }

    /** Sets the number that the interpreter counts its lines from. */
    private void numberLines(IMain made) throws ReflectiveOperationException {
        int first = number * ReplClasses.LINES;
        Object naming = IMain.class.getMethod("naming").invoke(made);
        for (Method each : naming.getClass().getMethods()) {
            if (!each.getName().endsWith("freshLineId_$eq")) {
                continue;
            }
            if (each.getParameterTypes()[0] == int.class) { // 2.13
                each.invoke(naming, first);
            } else { // 2.12
                each.invoke(naming, new Count(first));
            }
            return;
        }
        throw new NoSuchMethodException("this Scala's interpreter does not number its lines");
    }

    private static final class Count extends AbstractFunction0<Object> {
        private int last;

        Count(int first) {
            this.last = first;
        }

        @Override
        public Object apply() {
            return ++last;
        }
    }

    @Override
    public Standing standing() {
        return standing;
    }

    @Override
    public synchronized String run(Statement statement) throws Exception {
        started.await();
        if (!standing.state.equals("ready")) {
            return failed(standing.message, standing.message, "");
        }
        html = new StringBuilder();
        if (ScalaText.isBlank(statement.text)) {
            return done(new CommandOutput(), "");
        }
        CommandOutput output = new CommandOutput();
        ClassLoader before = Thread.currentThread().getContextClassLoader();
        Thread.currentThread().setContextClassLoader(ReplClasses.LOADER);
        reported.getBuffer().setLength(0);
        displayed = null;
        RUNNING.set(this);
        output.enter();
        String how;
        try {
            addJars();
            how = interpret(statement, CommandOutput.printer(output));
        } finally {
            output.leave();
            RUNNING.remove();
            Thread.currentThread().setContextClassLoader(before);
        }
        String said = reported.toString();
        reported.getBuffer().setLength(0);
        if (how.equals("Success")) {
            return done(output, said);
        }
        if (how.equals("Incomplete")) {
            return failed("error: incomplete command", "The command ends before its code does.", output.text());
        }
        Throwable failure = thrown;
        thrown = null;
        if (failure instanceof DbUtils.NotebookExit) {
            return text(output.text() + "Notebook exited: " + failure.getMessage(), output.truncated());
        }
        if (failure != null) {
            return failed(described(failure), trace(failure), output.text());
        }
        Matcher first = ERROR.matcher(said);
        return failed(first.find() ? first.group().trim() : "error: the command did not compile", said, output.text());
    }

    /** Has the interpreter know the jars that were added to the driver since the last command. */
    private void addJars() {
        List<URL> fresh = AddedJars.since(jars);
        if (!fresh.isEmpty()) {
            interpreter.addUrlsToClassPath(JavaConverters.asScalaBuffer(fresh).toSeq());
            jars += fresh.size();
        }
    }

    /** Part by part; as a whole where the first part does not compile by itself. */
    private String interpret(Statement statement, PrintStream out) {
        List<String> parts = ScalaText.parts(statement.text);
        String how = "Success";
        for (int at = 0; at < parts.size() && how.equals("Success") && !statement.cancelAsked(); at++) {
            how = interpret(parts.get(at), out);
            if (how.equals("Error")) {
                thrown = newFailure();
            }
            if (at == 0 && parts.size() > 1 && !how.equals("Success") && thrown == null) {
                reported.getBuffer().setLength(0);
                how = interpret(statement.text, out);
                thrown = how.equals("Error") ? newFailure() : null;
                return how;
            }
        }
        return how;
    }

    private String interpret(String code, PrintStream out) {
        Function0<Object> work = new AbstractFunction0<Object>() {
            @Override
            public Object apply() {
                return interpreter.interpret(code + "\n").toString();
            }
        };
        Function0<Object> both = new AbstractFunction0<Object>() {
            @Override
            public Object apply() {
                return Console.withErr(out, work);
            }
        };
        return (String) Console.withOut(out, both);
    }

    /** What the command has thrown; null when it was not even run. */
    private Throwable newFailure() {
        Option<Object> found = interpreter.valueOfTerm("lastException");
        Object value = found.isDefined() ? found.get() : null;
        if (!(value instanceof Throwable) || value == lastFailure) {
            return null;
        }
        lastFailure = (Throwable) value;
        return lastFailure;
    }

    /** Its class and the first line that it says something in. */
    private static String described(Throwable failure) {
        String message = String.valueOf(failure.getMessage()).trim();
        int end = message.indexOf('\n');
        String first = end < 0 ? message : message.substring(0, end);
        String name = failure.getClass().getName();
        return failure.getMessage() == null || first.isEmpty() ? name : name + ": " + first;
    }

    /** Its trace, down to the command's own code. */
    private static String trace(Throwable failure) {
        return WRAPPERS.matcher(OURS.matcher(Statements.trace(failure)).replaceAll("")).replaceAll("$1");
    }

    private String done(CommandOutput output, String said) throws IOException {
        String all = output.text() + said + (html == null ? "" : html);
        Dataset<?> shown = displayed;
        displayed = null;
        if (shown == null) {
            return text(all, output.truncated());
        }
        String table = Statements.table(shown.sparkSession(), shown.toDF(), Statements.DISPLAY_ROWS, CommandOutput.LIMIT);
        return "{\"resultType\":\"table\",\"summary\":" + Json.quote(all) + "," + table + "}";
    }

    private static String text(String text, boolean truncated) throws IOException {
        StringWriter json = new StringWriter();
        try (JsonGenerator out = Json.generator(json)) {
            out.writeStartObject();
            out.writeStringField("resultType", "text");
            out.writeStringField("data", text);
            if (truncated) {
                out.writeBooleanField("truncated", true);
            }
            out.writeEndObject();
        }
        return json.toString();
    }

    private static String failed(String summary, String cause, String printed) {
        String data = printed.isEmpty() ? "" : ",\"data\":" + Json.quote(printed);
        return "{\"resultType\":\"error\",\"summary\":" + Json.quote(summary) + ",\"cause\":" + Json.quote(cause) + data + "}";
    }

    /**
     * Interrupts the command's own code: never the compiler, which the interruption would break. Code that never looks
     * (a plain loop) is stopped, unless it is inside Spark or another library, whose locks and state others share.
     */
    @Override
    @SuppressWarnings({"deprecation", "removal"})
    public void interrupt(Thread worker, long askedMillisAgo) {
        boolean own = true;
        for (StackTraceElement frame : worker.getStackTrace()) {
            String name = frame.getClassName();
            if (name.startsWith(LINE)) {
                worker.interrupt();
                if (own && askedMillisAgo > STOP_AFTER_MILLIS) {
                    try {
                        worker.stop();
                    } catch (UnsupportedOperationException notInThisJava) {
                        return;
                    }
                }
                return;
            }
            own = own && (name.startsWith("scala.") || name.startsWith("java.lang.") || name.startsWith("java.math."));
        }
    }

    @Override
    public void close() {
        standing = Standing.failed("The context was destroyed.");
        ReplClasses.forget(number);
    }

    private static ScalaShell running() {
        ScalaShell shell = RUNNING.get();
        if (shell == null) {
            throw new IllegalStateException("display() and its like work on the command's own thread only");
        }
        return shell;
    }

    /** For the interpreter's first line: the context's Spark session. */
    public static org.apache.spark.sql.SparkSession session() {
        return DriverMain.session(running().context);
    }

    /** For the interpreter's first line. */
    public static DbUtils utilities() {
        return running().dbutils;
    }

    /** For {@code display} in commands: a Dataset is shown as a table, anything else as text. */
    public static void display(Object value) {
        if (value instanceof Dataset) {
            running().displayed = (Dataset<?>) value;
        } else {
            Console.println(value);
        }
    }

    /** For {@code displayHTML} in commands. */
    public static void displayHtml(String html) {
        running().html.append(html);
    }
}
