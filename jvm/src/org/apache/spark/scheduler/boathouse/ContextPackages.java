package org.apache.spark.scheduler.boathouse;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.api.plugin.DriverPlugin;
import org.apache.spark.api.plugin.ExecutorPlugin;
import org.apache.spark.api.plugin.PluginContext;
import org.apache.spark.api.plugin.SparkPlugin;
import org.apache.spark.util.TaskCompletionListener;

/**
 * Brings the packages that a Python context installed for itself ({@code %pip}) to the executors that run its tasks.
 *
 * <p>The context's Python packs them in the driver, under a name that says what is in them, and gives its jobs that name
 * as a property. An executor fetches them before the first task that wants them, over Spark's own authenticated channel,
 * also one that joined later. Tasks of other contexts neither wait for them nor see them.
 */
public final class ContextPackages implements SparkPlugin {
    /** Of a job: {@code <context>/<name>} of all that its Python workers may import from, with commas between. */
    public static final String PROPERTY = "spark.boathouse.packages";

    private static final String SERVED = "/packages";
    private static final Pattern WANTED = Pattern.compile("[0-9A-Za-z][0-9A-Za-z_-]*/[0-9a-f]+");

    /** In the driver: what each living context has on this disk, first what is served to executors. */
    private static final Map<String, List<Path>> CONTEXTS = new HashMap<>();

    private static Path folder;

    /** In the driver: where the context puts packed packages, as {@code <name>.tar}; {@code own} goes with the context too. */
    public static String folderOf(String context, String own) throws IOException {
        synchronized (CONTEXTS) {
            if (folder == null) {
                Path made = Files.createTempDirectory(NodeDisk.root(), "packages-");
                SparkEnv.get().rpcEnv().fileServer().addDirectory(SERVED, made.toFile());
                folder = made;
            }
            Path mine = Files.createDirectories(folder.resolve(context));
            List<Path> all = new ArrayList<>();
            all.add(mine);
            all.add(Paths.get(own));
            CONTEXTS.put(context, all);
            return mine.toString();
        }
    }

    /** Where executors unpack: the same path on each node, which Python workers are given before it is there. */
    public static String executorsFolder() throws IOException {
        return NodeDisk.root().resolve(".packages").toString();
    }

    /** In the driver: the context is over. Executors remove what they have of it when they fetch for another one. */
    public static void end(String context) {
        List<Path> all;
        synchronized (CONTEXTS) {
            all = CONTEXTS.remove(context);
        }
        if (all != null) {
            all.forEach(NodeDisk::remove);
        }
    }

    @Override
    public DriverPlugin driverPlugin() {
        return new DriverPlugin() {
            @Override
            public Map<String, String> init(SparkContext context, PluginContext plugin) {
                return new HashMap<>();
            }

            /** Of the contexts that an executor names, those that are over. */
            @Override
            public Object receive(Object names) {
                ArrayList<String> over = new ArrayList<>();
                synchronized (CONTEXTS) {
                    for (Object name : (List<?>) names) {
                        if (!CONTEXTS.containsKey(name)) {
                            over.add((String) name);
                        }
                    }
                }
                return over;
            }
        };
    }

    @Override
    public ExecutorPlugin executorPlugin() {
        return new Fetcher();
    }

    private static final class Fetcher implements ExecutorPlugin {
        private final Set<String> here = ConcurrentHashMap.newKeySet();
        private final ConcurrentHashMap<String, Object> locks = new ConcurrentHashMap<>();
        private PluginContext plugin;

        @Override
        public void init(PluginContext context, Map<String, String> extra) {
            plugin = context;
        }

        @Override
        public void onTaskStart() {
            TaskContext task = TaskContext.get();
            String all = task.getLocalProperty(PROPERTY);
            if (all != null) {
                for (String wanted : all.split(",")) {
                    if (!here.contains(wanted) && WANTED.matcher(wanted).matches()) {
                        have(wanted, task);
                    }
                }
            }
        }

        private void have(String wanted, TaskContext task) {
            try {
                synchronized (locks.computeIfAbsent(wanted, missing -> new Object())) {
                    if (!here.contains(wanted)) {
                        fetch(wanted);
                        here.add(wanted);
                        removeOver();
                    }
                }
            } catch (IOException | RuntimeException failure) {
                // Spark passes over what plugins throw: the task is to say it, and is tried again as any that failed.
                task.addTaskCompletionListener((TaskCompletionListener) ended -> {
                    throw new IllegalStateException(
                            "what %pip installed could not be fetched from the driver: " + failure, failure);
                });
            }
        }

        private static void fetch(String wanted) throws IOException {
            Path target = Paths.get(executorsFolder()).resolve(wanted);
            if (Files.isDirectory(target)) {
                return; // by an executor before this one
            }
            Path part = target.resolveSibling(target.getFileName() + ".part");
            NodeDisk.remove(part); // of a fetch that was cut off
            Files.createDirectories(part);
            String driver = SparkEnv.get().conf().get("spark.driver.host") + ":" + SparkEnv.get().conf().get("spark.driver.port");
            String file = "spark://" + driver + SERVED + "/" + wanted + ".tar";
            try (InputStream in = Channels.newInputStream(SparkEnv.get().rpcEnv().openChannel(file));
                    TarArchiveInputStream tar = new TarArchiveInputStream(new BufferedInputStream(in, 1 << 16))) {
                unpack(tar, part);
            }
            Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
        }

        private static void unpack(TarArchiveInputStream tar, Path into) throws IOException {
            for (TarArchiveEntry entry = next(tar); entry != null; entry = next(tar)) {
                Path path = into.resolve(entry.getName()).normalize();
                if (!path.startsWith(into)) {
                    throw new IOException("a path that leaves the archive: " + entry.getName());
                }
                if (entry.isDirectory()) {
                    Files.createDirectories(path);
                } else {
                    Files.createDirectories(path.getParent());
                    Files.copy(tar, path);
                    boolean program = (entry.getMode() & 0100) != 0;
                    Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(program ? "rwxr-xr-x" : "rw-r--r--"));
                }
            }
        }

        private static TarArchiveEntry next(TarArchiveInputStream tar) throws IOException {
            return (TarArchiveEntry) tar.getNextEntry(); // of older versions it is the general kind
        }

        /** Removes what is here of contexts that are over, with the Python daemons that Spark keeps for them. */
        private void removeOver() {
            try {
                Path root = Paths.get(executorsFolder());
                ArrayList<String> known = new ArrayList<>();
                try (Stream<Path> contexts = Files.list(root)) {
                    contexts.forEach(context -> known.add(context.getFileName().toString()));
                }
                for (Object over : (List<?>) plugin.ask(known)) {
                    String prefix = over + "/";
                    here.removeIf(each -> each.startsWith(prefix));
                    locks.keySet().removeIf(each -> each.startsWith(prefix));
                    Path gone = root.resolve((String) over);
                    WorkersOf.end(gone);
                    NodeDisk.remove(gone);
                }
            } catch (Exception failure) { // Scala's `ask` declares none; what stays costs disk, and no task
                System.err.println("packages of ended contexts were not looked for: " + failure);
            }
        }
    }

    /** The Python processes that import from a folder. */
    private static final class WorkersOf {
        static void end(Path folder) throws IOException {
            List<String> pids = new ArrayList<>();
            try (Stream<Path> processes = Files.list(Paths.get("/proc"))) {
                processes.filter(process -> Character.isDigit(process.getFileName().toString().charAt(0)))
                        .filter(process -> imports(process, folder + "/"))
                        .forEach(process -> pids.add(process.getFileName().toString()));
            }
            if (!pids.isEmpty()) { // `kill` is a program in few images and a word of every shell
                new ProcessBuilder("/bin/sh", "-c", "kill -9 " + String.join(" ", pids)).inheritIO().start();
            }
        }

        private static boolean imports(Path process, String folder) {
            try {
                byte[] environment = Files.readAllBytes(process.resolve("environ"));
                return new String(environment, StandardCharsets.ISO_8859_1).contains(folder);
            } catch (IOException endedOrNotOurs) {
                return false;
            }
        }
    }
}
