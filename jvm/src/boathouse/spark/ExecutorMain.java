package boathouse.spark;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.spark.executor.CoarseGrainedExecutorBackend;
import org.apache.spark.scheduler.boathouse.ReplFiles;

/**
 * An executor process. It may be started before the driver: it waits for the driver's port, then is Spark's own
 * {@code CoarseGrainedExecutorBackend}, which ends when the driver goes.
 */
public final class ExecutorMain {
    private static final String SECRET_FILE = "--secret-file";
    private static final String WAIT_SECONDS = "--wait-seconds";
    private static final int DIAL_TIMEOUT_MILLIS = 1000;
    private static final int REDIAL_MILLIS = 20;

    private ExecutorMain() {}

    public static void main(String[] args) throws Exception {
        List<String> spark = new ArrayList<>();
        String secretFile = "/run/boathouse/spark.secret";
        String driver = null;
        long waitSeconds = 600;
        if (args.length % 2 != 0) {
            usage("every option needs a value");
        }
        for (int i = 0; i < args.length; i += 2) {
            if (args[i].equals(SECRET_FILE)) {
                secretFile = args[i + 1];
                continue;
            }
            if (args[i].equals(WAIT_SECONDS)) {
                waitSeconds = Long.parseLong(args[i + 1]);
                continue;
            }
            if (args[i].equals("--driver-url")) {
                driver = args[i + 1];
            }
            spark.add(args[i]);
            spark.add(args[i + 1]);
        }
        if (driver == null) {
            usage("--driver-url is missing");
        }
        System.setProperty("spark.authenticate", "true");
        System.setProperty("spark.authenticate.secret", DriverProperties.secret(Paths.get(secretFile)));
        InetSocketAddress at = address(driver);
        ClassLoader own = ExecutorMain.class.getClassLoader();
        Thread.currentThread().setContextClassLoader(new ReplFiles.Loader(own, at.getHostString() + ":" + at.getPort()));
        awaitDriver(at, waitSeconds);
        CoarseGrainedExecutorBackend.main(spark.toArray(new String[0]));
    }

    /** {@code spark://CoarseGrainedScheduler@10.0.0.2:36000} to its host and port. */
    static InetSocketAddress address(String driverUrl) {
        URI uri = URI.create(driverUrl);
        if (uri.getHost() == null || uri.getPort() < 0) {
            throw new IllegalArgumentException("not a driver URL: " + driverUrl);
        }
        return new InetSocketAddress(uri.getHost(), uri.getPort());
    }

    private static void awaitDriver(InetSocketAddress driver, long seconds) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (!answers(driver)) {
            if (System.nanoTime() > deadline) {
                System.err.println("the driver at " + driver + " did not answer within " + seconds + " s");
                System.exit(1);
            }
            Thread.sleep(REDIAL_MILLIS);
        }
    }

    private static boolean answers(InetSocketAddress driver) {
        try (Socket socket = new Socket()) {
            socket.connect(driver, DIAL_TIMEOUT_MILLIS);
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }

    private static void usage(String problem) {
        System.err.println(problem + "; usage: ExecutorMain --driver-url URL --executor-id N --hostname IP --cores C"
                + " --app-id APP [" + SECRET_FILE + " FILE] [" + WAIT_SECONDS + " N]");
        System.exit(2);
    }
}
