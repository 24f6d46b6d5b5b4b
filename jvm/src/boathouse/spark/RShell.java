package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.TreeSet;

/**
 * R commands of one context: a process of the image's own R, a child of the driver's. It gets its commands by a file and
 * a line on its standard input, and ends each one's output by a mark that only the two know; so it announces its calls too.
 */
final class RShell implements Shell {
    private static final int SIGKILL_EXIT = 137;
    private static final long KILL_EVERY_MILLIS = 500;
    private static final long IMAGE_LIMIT = 8 << 20;
    private static final long RESULT_LIMIT = 64 << 20;

    private final String program;
    private final RCalls calls;
    private final byte[] mark;
    private final Object changed = new Object();
    private volatile Standing standing = Standing.STARTING;
    private Path folder;
    private volatile Process process;
    private CommandOutput output;
    private boolean ended;
    private long lastKill;

    RShell(String program, RCalls calls) {
        this.program = program;
        this.calls = calls;
        byte[] random = new byte[24];
        new SecureRandom().nextBytes(random);
        this.mark = ("\u0001" + Base64.getUrlEncoder().encodeToString(random) + "\u0001").getBytes(StandardCharsets.US_ASCII);
    }

    @Override
    public void start() {
        CommandOutput.install();
        Thread thread = new Thread(this::serve, "boathouse-r");
        thread.setDaemon(true);
        thread.start();
    }

    /** Starts the process and takes its output until it ends. */
    private void serve() {
        String end;
        try {
            launch();
            pump(process.getInputStream());
            int code = process.waitFor();
            String how = code == SIGKILL_EXIT
                    ? "was killed (signal 9): it most likely needed more memory than the node has"
                    : code > 128 ? "ended by signal " + (code - 128) : "ended with exit code " + code;
            end = "The R process of this context " + how + ". Its variables are lost; create a new context.";
        } catch (IOException failure) {
            end = "R could not be started: " + failure.getMessage();
        } catch (InterruptedException stopping) {
            Thread.currentThread().interrupt();
            end = "the driver is stopping";
        }
        synchronized (changed) {
            if (standing == Standing.STARTING && output == null) {
                end += early.size() == 0 ? "" : " " + new String(early.toByteArray(), StandardCharsets.UTF_8).trim();
            }
            standing = Standing.failed(end);
            changed.notifyAll();
        }
    }

    private void launch() throws IOException {
        String local = System.getenv("SPARK_LOCAL_DIRS");
        Path root = Paths.get(local == null ? System.getProperty("java.io.tmpdir") : local.split(",")[0]);
        Files.createDirectories(root);
        folder = Files.createTempDirectory(root, "r-");
        Path script = folder.resolve("repl.R");
        try (InputStream text = RShell.class.getResourceAsStream("repl.R")) {
            Files.copy(text, script);
        }
        ProcessBuilder builder = new ProcessBuilder("/bin/bash", "-c",
                "echo $$ > \"$BOATHOUSE_FOLDER/pid\"; exec \"$0\" --vanilla \"$1\"", program, script.toString());
        builder.environment().put("BOATHOUSE_MARK", new String(mark, StandardCharsets.US_ASCII));
        builder.environment().put("BOATHOUSE_FOLDER", folder.toString());
        builder.environment().remove("BOATHOUSE_READY_FD");
        builder.environment().putIfAbsent("LC_ALL", "C.UTF-8");
        File home = new File("/databricks/driver");
        if (home.isDirectory()) {
            builder.directory(home);
        }
        process = builder.redirectErrorStream(true).start();
    }

    private final ByteArrayOutputStream early = new ByteArrayOutputStream();

    private void pump(InputStream in) throws IOException {
        byte[] held = new byte[(64 << 10) + mark.length];
        int count = 0;
        for (int got = in.read(held, 0, 64 << 10); got >= 0; got = in.read(held, count, held.length - count)) {
            count += got;
            int at = find(held, count);
            int ready = at >= 0 ? at : Math.max(0, count - mark.length + 1);
            take(held, ready);
            int from = ready;
            if (at >= 0) {
                from = at + mark.length;
                marked();
            }
            System.arraycopy(held, from, held, 0, count - from);
            count -= from;
        }
        take(held, count);
    }

    private int find(byte[] in, int count) {
        for (int at = 0; at + mark.length <= count; at++) {
            int same = 0;
            while (same < mark.length && in[at + same] == mark[same]) {
                same++;
            }
            if (same == mark.length) {
                return at;
            }
        }
        return -1;
    }

    private void take(byte[] bytes, int count) {
        synchronized (changed) {
            if (output != null) {
                output.write(bytes, 0, count);
            } else if (early.size() < 4096) {
                early.write(bytes, 0, Math.min(count, 4096 - early.size()));
            }
        }
    }

    /** A call of R's waits, or else a command has ended. */
    private void marked() throws IOException {
        if (calls.serve(folder, process.getOutputStream())) {
            return;
        }
        synchronized (changed) {
            if (standing == Standing.STARTING) {
                standing = Standing.READY;
            }
            ended = true;
            changed.notifyAll();
        }
    }

    @Override
    public Standing standing() {
        return standing;
    }

    @Override
    public synchronized String run(Statement statement) throws Exception {
        synchronized (changed) {
            while (standing == Standing.STARTING) {
                changed.wait();
            }
            output = new CommandOutput();
            ended = false;
        }
        Files.deleteIfExists(folder.resolve("result.json"));
        for (Path plot : plots()) {
            Files.delete(plot);
        }
        Files.write(folder.resolve("command.R"), (statement.text + "\n").getBytes(StandardCharsets.UTF_8));
        try {
            process.getOutputStream().write("run\n".getBytes(StandardCharsets.US_ASCII));
            process.getOutputStream().flush();
        } catch (IOException gone) {
            synchronized (changed) {
                while (standing == Standing.READY) {
                    changed.wait();
                }
            }
        }
        CommandOutput mine;
        synchronized (changed) {
            while (!ended && standing == Standing.READY) {
                changed.wait();
            }
            mine = output;
            output = null;
            if (!ended) {
                return result("error", standing.message, standing.message, mine);
            }
        }
        return result(mine);
    }

    private String result(CommandOutput printed) throws IOException {
        Path file = folder.resolve("result.json");
        if (!Files.exists(file) || Files.size(file) > RESULT_LIMIT) {
            return result("error", "The result of the command is too large", "", printed);
        }
        JsonNode outcome = Json.parse(Files.readAllBytes(file));
        String html = outcome.path("html").asText();
        String all = printed.text() + html;
        switch (outcome.path("status").asText()) {
            case "ok":
                break;
            case "exit":
                return "{\"resultType\":\"text\",\"data\":"
                        + Json.quote(all + "Notebook exited: " + outcome.path("summary").asText()) + "}";
            default:
                return result("error", outcome.path("summary").asText(), outcome.path("cause").asText(), printed);
        }
        if (outcome.has("schema")) {
            return "{\"resultType\":\"table\",\"isJsonSchema\":true,\"schema\":" + outcome.get("schema") + ",\"data\":"
                    + outcome.get("data") + ",\"truncated\":" + outcome.get("truncated") + summary(all) + "}";
        }
        List<String> images = images();
        if (images.size() == 1) {
            return "{\"resultType\":\"image\",\"fileName\":" + images.get(0) + summary(all) + "}";
        }
        if (images.size() > 1) {
            return "{\"resultType\":\"images\",\"fileNames\":[" + String.join(",", images) + "]" + summary(all) + "}";
        }
        return "{\"resultType\":\"text\",\"data\":" + Json.quote(all) + (printed.truncated() ? ",\"truncated\":true" : "")
                + "}";
    }

    private static String summary(String text) {
        return text.isEmpty() ? "" : ",\"summary\":" + Json.quote(text);
    }

    private static String result(String type, String summary, String cause, CommandOutput printed) {
        String data = printed.text();
        return "{\"resultType\":\"" + type + "\",\"summary\":" + Json.quote(summary) + ",\"cause\":"
                + Json.quote(cause.isEmpty() ? summary : cause)
                + (data.isEmpty() ? "" : ",\"data\":" + Json.quote(data)) + "}";
    }

    private List<String> images() throws IOException {
        List<String> images = new ArrayList<>();
        for (Path plot : plots()) {
            long size = Files.size(plot);
            if (size > 0 && size <= IMAGE_LIMIT) {
                String data = Base64.getEncoder().encodeToString(Files.readAllBytes(plot));
                images.add("\"data:image/png;base64," + data + "\"");
            }
        }
        return images;
    }

    private Iterable<Path> plots() throws IOException {
        TreeSet<Path> sorted = new TreeSet<>();
        try (DirectoryStream<Path> found = Files.newDirectoryStream(folder, "plot*.png")) {
            found.forEach(sorted::add);
        }
        return sorted;
    }

    @Override
    public void interrupt(Thread worker, long askedMillisAgo) {
        long now = System.currentTimeMillis();
        if (now - lastKill >= KILL_EVERY_MILLIS) {
            lastKill = now;
            kill("INT");
        }
    }

    /** R and its children: it ignores signals while it waits for one. By the shell: Java 8 does not tell a process's id. */
    private void kill(String signal) {
        try {
            String pid = new String(Files.readAllBytes(folder.resolve("pid")), StandardCharsets.US_ASCII).trim();
            long number = Long.parseLong(pid);
            String all = "kill -" + signal + " " + number + " $(cat /proc/" + number + "/task/*/children)";
            new ProcessBuilder("/bin/bash", "-c", all).start().waitFor();
        } catch (IOException | NumberFormatException failure) {
            System.err.println("R could not be sent SIG" + signal + ": " + failure);
        } catch (InterruptedException stopping) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        Process running = process;
        if (running != null) {
            if (running.isAlive()) {
                kill("KILL");
            }
            running.destroyForcibly();
        }
        File[] files = folder == null ? null : folder.toFile().listFiles();
        if (files != null) {
            for (File each : files) {
                each.delete();
            }
            folder.toFile().delete();
        }
    }
}
