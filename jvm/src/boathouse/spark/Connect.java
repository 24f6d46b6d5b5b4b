package boathouse.spark;

import org.apache.spark.SparkContext;

/**
 * Starts Spark Connect beside the classic session. Looked up by name: not every Spark that a release is made of was
 * published with a Connect jar, and this module is compiled against all of them.
 */
final class Connect {
    private static final String SERVICE = "org.apache.spark.sql.connect.service.SparkConnectService";

    private Connect() {}

    /** Serves Connect for this context; the port on loopback. */
    static int start(SparkContext context) throws ReflectiveOperationException {
        Object service = Class.forName(SERVICE + "$").getField("MODULE$").get(null);
        service.getClass().getMethod("start", SparkContext.class).invoke(service, context);
        return (int) service.getClass().getMethod("localPort").invoke(service);
    }
}
