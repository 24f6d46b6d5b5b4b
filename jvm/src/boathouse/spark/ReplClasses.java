package boathouse.spark;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.spark.scheduler.boathouse.NodeDisk;
import org.apache.spark.scheduler.boathouse.ReplFiles;

/**
 * Finds the classes that Scala commands define, in the driver: for any thread, whichever context they belong to. The
 * lines of all contexts are numbered apart (class {@code $line1200003.$read} is line 3 of context 12), as Spark wants
 * their names to be.
 */
final class ReplClasses extends ClassLoader {
    /** Lines that a context may have before another one's begin. */
    static final int LINES = 100_000;

    static final ReplClasses LOADER = new ReplClasses(AddedJars.LOADER);

    private static final ConcurrentHashMap<Integer, ClassLoader> CONTEXTS = new ConcurrentHashMap<>();
    private static File folder;
    private static int last;

    private ReplClasses(ClassLoader parent) {
        super(parent);
    }

    /** The folder that all contexts' classes are written to, served to the executors from the first call on. */
    static synchronized File folder() throws IOException {
        if (folder == null) {
            File made = Files.createTempDirectory(NodeDisk.root(), "repl-").toFile();
            ReplFiles.serve(made);
            folder = made;
        }
        return folder;
    }

    /** A number for a new context; never used twice. */
    static synchronized int number() {
        return ++last;
    }

    static void register(int number, ClassLoader loader) {
        CONTEXTS.put(number, loader);
    }

    /** Forgets a context's classes, also on disk; objects of them that are still held live on. */
    static void forget(int number) {
        CONTEXTS.remove(number);
        File[] found = folder == null ? null : folder.listFiles((in, name) -> contextOf(name + ".") == number);
        if (found == null) {
            return;
        }
        for (File line : found) {
            NodeDisk.remove(line.toPath());
        }
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
        int number = contextOf(name);
        ClassLoader loader = number < 0 ? null : CONTEXTS.get(number);
        if (loader == null) {
            throw new ClassNotFoundException(name);
        }
        return loader.loadClass(name);
    }

    /** The context of a class {@code $line<number>.<rest>}; negative for any other class. */
    static int contextOf(String name) {
        int dot = name.indexOf('.');
        if (!name.startsWith("$line") || dot < 6 || dot > 15) {
            return -1;
        }
        int line = 0;
        for (int at = 5; at < dot; at++) {
            char digit = name.charAt(at);
            if (digit < '0' || digit > '9') {
                return -1;
            }
            line = line * 10 + (digit - '0');
        }
        return line / LINES;
    }
}
