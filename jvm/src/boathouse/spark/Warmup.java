package boathouse.spark;

import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.parser.CatalystSqlParser$;
import org.codehaus.commons.compiler.CompileException;
import org.codehaus.janino.ClassBodyEvaluator;

/** Work done before the first user asks for it. Nothing depends on it: a failure is reported and the driver goes on. */
final class Warmup {
    /** Large objects of Spark SQL whose initialisers are slow and need no Spark context. */
    private static final String[] CLASSES = {
        "org.apache.spark.sql.internal.SQLConf$",
        "org.apache.spark.sql.catalyst.analysis.FunctionRegistry$",
        "org.apache.spark.sql.catalyst.expressions.codegen.CodeGenerator$",
        "org.apache.spark.sql.catalyst.parser.CatalystSqlParser$",
        "org.apache.spark.sql.catalyst.parser.SqlBaseParser",
        "org.apache.spark.sql.catalyst.parser.SqlBaseLexer",
        "org.apache.spark.sql.execution.SparkStrategies",
    };

    private Warmup() {}

    /** What the first query needs and can be had while the Spark context starts: classes, the parser, the compiler. */
    static void withoutSpark() {
        loadClasses();
        try {
            CatalystSqlParser$.MODULE$.parsePlan("SELECT k + 1 AS a, sum(id) FROM range(10) WHERE id > 3 GROUP BY k");
            new ClassBodyEvaluator().cook(JAVA);
        } catch (RuntimeException | CompileException failure) {
            System.err.println("warm-up: " + failure);
        }
    }

    /** Of the kinds of statements that Spark generates. */
    private static final String JAVA = "final class Rows extends java.util.ArrayList { private int n; private Object[] refs;\n"
            + "  Rows(Object[] refs) { this.refs = refs; }\n"
            + "  void next(java.util.Iterator in) { while (in.hasNext()) { long v = ((Long) in.next()).longValue();\n"
            + "    boolean isNull = v < 0L; if (!isNull) { n += (int) v; add(\"row \" + n); } } } }\n"
            + "public Object generate(Object[] refs) { return new Rows(refs); }\n";

    private static void loadClasses() {
        for (String name : CLASSES) {
            try {
                Class.forName(name);
            } catch (ClassNotFoundException notInThisSpark) {
                System.err.println("warm-up: " + notInThisSpark.getMessage() + " is not there");
            }
        }
    }

    /** Plans, compiles and runs a small query, so that the first user's finds everything loaded. */
    static void firstQuery(SparkSession session) {
        SparkContext spark = session.sparkContext();
        try {
            spark.setJobGroup("boathouse-warmup", "Warm-up by the platform", true);
            session.sql("SELECT id % 7 AS k, count(*) AS n FROM range(0, 100, 1, 2) GROUP BY id % 7").takeAsList(10);
        } catch (RuntimeException failure) {
            System.err.println("warm-up: " + Statements.summary(failure));
        } finally {
            spark.clearJobGroup();
        }
    }
}
