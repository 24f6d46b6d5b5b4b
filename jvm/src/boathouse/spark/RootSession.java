package boathouse.spark;

import java.io.IOException;
import java.net.URL;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistry$;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistryBase;
import scala.Function1;

/**
 * Makes the session that all others come of, without what few ever need: Scala's runtime reflection. Spark 4 starts it to find out
 * which of its two kinds of sessions is there, and MLlib to make three internal functions, together a third of the main thread's
 * start. The kind is known here; the functions are made when one of them is called.
 */
final class RootSession {
    /** Spark 4 has its classic session in a package of its own. */
    private static final String CLASSIC = "org.apache.spark.sql.classic.SparkSession";

    private static final String ML_EXTENSION = "org.apache.spark.sql.ml.InternalFunctionRegistration";

    /** What MLlib registers while it is initialised; {@code pyspark.ml.functions} and Connect call them by these names. */
    private static final String[] ML_FUNCTIONS = {"vector_to_array", "array_to_vector", "aggregate_metrics"};

    private static final String PROVIDERS = "META-INF/services/org.apache.spark.sql.SparkSessionExtensionsProvider";

    private RootSession() {}

    @SuppressWarnings({"rawtypes", "unchecked"}) // sequences have other names in Scala 2.12 and 2.13
    static SparkSession make() throws ReflectiveOperationException {
        Class<?> classic;
        try {
            classic = Class.forName(CLASSIC);
        } catch (ClassNotFoundException before4) {
            return SparkSession.builder().getOrCreate();
        }
        Thread thread = Thread.currentThread();
        ClassLoader own = thread.getContextClassLoader();
        thread.setContextClassLoader(new WithoutMl(own));
        try {
            Object builder = classic.getMethod("builder").invoke(null);
            SparkSession session = (SparkSession) builder.getClass().getMethod("getOrCreate").invoke(builder);
            FunctionRegistryBase internal = internalFunctions();
            for (String name : ML_FUNCTIONS) {
                internal.createOrReplaceTempFunction(name, late(internal, name), "internal");
            }
            return session;
        } finally {
            thread.setContextClassLoader(own);
        }
    }

    /** Looked up by name: Spark 3 has no such registry, and this module is compiled against it too. */
    @SuppressWarnings("rawtypes")
    private static FunctionRegistryBase internalFunctions() throws ReflectiveOperationException {
        Object registries = FunctionRegistry$.MODULE$;
        return (FunctionRegistryBase) registries.getClass().getMethod("internal").invoke(registries);
    }

    /** Has MLlib make its functions, once. Before Spark 4 there is nothing to make. */
    static void mlFunctions() {
        try {
            Class.forName(ML_EXTENSION + "$"); // its initialiser registers them
        } catch (ClassNotFoundException before4) {
            // such a Spark asks for none of them
        }
    }

    /** A function that has MLlib take its place, and itself forgotten, the first time it is called. */
    @SuppressWarnings({"rawtypes", "unchecked"}) // sequences have other names in Scala 2.12 and 2.13
    private static Function1 late(FunctionRegistryBase registry, String name) {
        FunctionIdentifier identifier = new FunctionIdentifier(name);
        return arguments -> {
            mlFunctions();
            Function1 real = (Function1) registry.lookupFunctionBuilder(identifier).get();
            return real.apply(arguments);
        };
    }

    /** Names every extension but MLlib's. */
    private static final class WithoutMl extends ClassLoader {
        WithoutMl(ClassLoader parent) {
            super(parent);
        }

        @Override
        public Enumeration<URL> getResources(String name) throws IOException {
            Enumeration<URL> all = super.getResources(name);
            if (!PROVIDERS.equals(name)) {
                return all;
            }
            List<URL> kept = new ArrayList<>();
            while (all.hasMoreElements()) {
                URL each = all.nextElement();
                if (!each.getPath().contains("/spark-mllib_")) {
                    kept.add(each);
                }
            }
            return Collections.enumeration(kept);
        }
    }
}
