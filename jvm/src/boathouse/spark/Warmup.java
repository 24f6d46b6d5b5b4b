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

    /** Different in kind, so that most of what queries need of Spark is loaded and compiled once one of a user's comes. */
    private static final String[] REHEARSED = {
        "SELECT id % 7 AS k, count(*) AS n FROM range(0, 100, 1, 2) GROUP BY id % 7",
        "SELECT a.id, b.id * 2 AS twice FROM range(0, 50, 1, 2) a JOIN range(0, 50, 1, 2) b ON a.id = b.id WHERE a.id > 9",
        "SELECT k, max(s), avg(x) FROM (SELECT id % 3 AS k, cast(id AS string) AS s, id / 2 AS x FROM range(0, 60, 1, 4)) "
                + "GROUP BY k HAVING count(*) > 1 ORDER BY k DESC LIMIT 2",
        "SELECT upper(concat('row ', s)), named_struct('a', d, 'b', array(x)) FROM VALUES ('p', 1.5D, date'2020-01-31'), "
                + "('q', null, date'2021-02-28') AS t(s, x, d) WHERE s IN ('p', 'q') AND x IS NOT NULL",
        "SELECT id, row_number() OVER (PARTITION BY id % 2 ORDER BY id DESC) AS r FROM range(0, 20, 1, 2)",
        "SELECT min(id), sum(id * 2), count(DISTINCT id % 4) FROM range(0, 1000, 1, 4)",
    };

    private static final int REHEARSALS = 4;

    /** A driver in standby: small queries of many kinds, again and again, in a session that nobody gets. */
    static void rehearse(SparkSession root) {
        SparkContext spark = root.sparkContext();
        SparkSession session = root.newSession();
        spark.setJobGroup("boathouse-warmup", "Warm-up by the platform", true);
        try {
            for (int round = 0; round < REHEARSALS; round++) {
                for (String query : REHEARSED) {
                    session.sql(query).takeAsList(5);
                }
                session.range(0, 100 + round, 1, 2).selectExpr("max(id)", "min(id + " + round + ")").collectAsList();
            }
        } catch (RuntimeException failure) {
            System.err.println("warm-up: " + Statements.summary(failure));
        } finally {
            spark.clearJobGroup();
        }
        leftOut();
    }

    /** What the root session was made without: {@link RootSession}. Nobody waits for it now. */
    private static void leftOut() {
        SparkSession.builder();
        RootSession.mlFunctions();
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
        leftOut();
    }
}
