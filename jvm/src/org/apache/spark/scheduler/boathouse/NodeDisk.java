package org.apache.spark.scheduler.boathouse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The node's own disk, where this process keeps what ends with the node. */
public final class NodeDisk {
    private NodeDisk() {}

    /** The first of Spark's local folders, made where it is missing. */
    public static Path root() throws IOException {
        String local = System.getenv("SPARK_LOCAL_DIRS");
        Path root = Paths.get(local == null ? System.getProperty("java.io.tmpdir") : local.split(",")[0]);
        return Files.createDirectories(root);
    }

    /** Removes a folder with all that is in it. What cannot be removed stays, and is told in the log. */
    public static void remove(Path folder) {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> below = Files.walk(folder)) {
            List<Path> deepest = below.sorted(Comparator.reverseOrder()).collect(Collectors.toList());
            for (Path each : deepest) {
                Files.delete(each);
            }
        } catch (IOException | RuntimeException failure) {
            System.err.println("not removed: " + folder + ": " + failure);
        }
    }
}
