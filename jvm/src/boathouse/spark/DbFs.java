package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/**
 * {@code dbutils.fs} of Scala and R contexts: DBFS, volumes and workspace files through the control plane, which decides every
 * call as the context's principal; {@code file:/} in the container. The same as the Python one (repl_fs.py).
 */
public final class DbFs {
    /** Bytes in one call: in base64 they fit a line. */
    private static final int PIECE = 512 << 10;

    private static final int HEAD = 64 << 10;

    private final NodeCalls calls;

    DbFs(NodeCalls calls) {
        this.calls = calls;
    }

    /** What is in a directory. */
    public scala.collection.immutable.List<FileInfo> ls(String dir) throws IOException {
        List<FileInfo> found = list(dir);
        scala.collection.immutable.List<FileInfo> list = scala.collection.immutable.List$.MODULE$.empty();
        for (int at = found.size() - 1; at >= 0; at--) {
            list = new scala.collection.immutable.$colon$colon<>(found.get(at), list);
        }
        return list;
    }

    List<FileInfo> list(String dir) throws IOException {
        List<FileInfo> found = new ArrayList<>();
        Path local = local(dir);
        if (local == null) {
            for (JsonNode each : call("fs.ls", "{\"path\":" + Json.quote(dir) + "}")) {
                found.add(new FileInfo(each.path("path").asText(), each.path("name").asText(), each.path("size").asLong(),
                        each.path("modificationTime").asLong()));
            }
        } else if (Files.isDirectory(local)) {
            for (Path each : inside(local)) {
                found.add(described(each));
            }
        } else {
            found.add(described(local));
        }
        return found;
    }

    /** The first 64 KiB of a file as text. */
    public String head(String file) throws IOException {
        return head(file, HEAD);
    }

    /** The first bytes of a file as text. */
    public String head(String file, int maxBytes) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        copy(file, all, maxBytes);
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }

    /** Write a text to a file that is not there yet. */
    public boolean put(String file, String contents) throws IOException {
        return put(file, contents, false);
    }

    /** Write a text to a file. */
    public boolean put(String file, String contents, boolean overwrite) throws IOException {
        byte[] bytes = contents.getBytes(StandardCharsets.UTF_8);
        Path local = local(file);
        if (local != null) {
            StandardOpenOption how = overwrite ? StandardOpenOption.CREATE : StandardOpenOption.CREATE_NEW;
            Files.write(local, bytes, how, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING);
            return true;
        }
        Upload out = new Upload(file, overwrite); // not closed after a failure: half a file is none
        out.write(bytes);
        out.close();
        return true;
    }

    public boolean cp(String from, String to) throws IOException {
        return cp(from, to, false);
    }

    /** Copy a file, with recurse a directory. */
    public boolean cp(String from, String to, boolean recurse) throws IOException {
        Path source = local(from);
        Path target = local(to);
        if (source == null && target == null) {
            call("fs.cp", pair(from, to, recurse));
        } else if (source != null) {
            send(source, to, target, recurse);
        } else {
            fetch(from, target, recurse);
        }
        return true;
    }

    public boolean mv(String from, String to) throws IOException {
        return mv(from, to, false);
    }

    /** Move a file, with recurse a directory. */
    public boolean mv(String from, String to, boolean recurse) throws IOException {
        if (local(from) == null && local(to) == null) {
            call("fs.mv", pair(from, to, recurse));
        } else {
            cp(from, to, recurse);
            rm(from, recurse);
        }
        return true;
    }

    public boolean rm(String dir) throws IOException {
        return rm(dir, false);
    }

    /** Remove a file, with recurse a directory. False when there was none. */
    public boolean rm(String dir, boolean recurse) throws IOException {
        Path local = local(dir);
        if (local == null) {
            String params = "{\"path\":" + Json.quote(dir) + ",\"recurse\":" + recurse + "}";
            return call("fs.rm", params).path("removed").asBoolean();
        }
        if (!Files.exists(local, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        if (recurse && Files.isDirectory(local, LinkOption.NOFOLLOW_LINKS)) {
            for (Path each : inside(local)) {
                rm("file:" + each, true);
            }
        }
        Files.delete(local);
        return true;
    }

    /** Make a directory and those above it. */
    public boolean mkdirs(String dir) throws IOException {
        Path local = local(dir);
        if (local == null) {
            call("fs.mkdirs", "{\"path\":" + Json.quote(dir) + "}");
        } else {
            Files.createDirectories(local);
        }
        return true;
    }

    public boolean mount(Object... ignored) {
        throw noMounts("mount");
    }

    public boolean updateMount(Object... ignored) {
        throw noMounts("updateMount");
    }

    public boolean unmount(Object... ignored) {
        throw noMounts("unmount");
    }

    public boolean refreshMounts() {
        throw noMounts("refreshMounts");
    }

    public scala.collection.immutable.List<String> mounts() {
        throw noMounts("mounts");
    }

    static UnsupportedOperationException noMounts(String name) {
        return new UnsupportedOperationException("dbutils.fs." + name + " is not served: there are no mounts here; use the"
                + " location itself (s3://bucket/..) or a volume (/Volumes/catalog/schema/volume/..)");
    }

    @Override
    public String toString() {
        return "dbutils.fs: ls(dir), head(file, maxBytes), put(file, contents, overwrite), cp, mv, rm, mkdirs";
    }

    /** What `ls` tells of a file, or of a directory, whose name ends with a slash. */
    public static final class FileInfo {
        private final String path;
        private final String name;
        private final long size;
        private final long modificationTime;

        FileInfo(String path, String name, long size, long modificationTime) {
            this.path = path;
            this.name = name;
            this.size = size;
            this.modificationTime = modificationTime;
        }

        public String path() {
            return path;
        }

        public String name() {
            return name;
        }

        public long size() {
            return size;
        }

        public long modificationTime() {
            return modificationTime;
        }

        public boolean isDir() {
            return name.endsWith("/");
        }

        public boolean isFile() {
            return !isDir();
        }

        @Override
        public String toString() {
            return "FileInfo(" + path + "," + name + "," + size + "," + modificationTime + ")";
        }
    }

    /** The path in the container that `file:/..` names; null for any other. Workspace files are the control plane's. */
    private static Path local(String path) {
        boolean ours = path.startsWith("file:/") && !path.startsWith("file:/Workspace/");
        return ours ? Paths.get("/" + path.substring("file:".length()).replaceFirst("^/+", "")) : null;
    }

    private static Path[] inside(Path folder) throws IOException {
        File[] files = folder.toFile().listFiles();
        if (files == null) {
            throw new IOException("file:" + folder + " cannot be listed");
        }
        Arrays.sort(files);
        return Arrays.stream(files).map(File::toPath).toArray(Path[]::new);
    }

    private static FileInfo described(Path path) throws IOException {
        if (!Files.exists(path)) {
            throw new FileNotFoundException("file:" + path + " does not exist");
        }
        String end = Files.isDirectory(path) ? "/" : "";
        long size = end.isEmpty() ? Files.size(path) : 0;
        return new FileInfo("file:" + path + end, path.getFileName() + end, size, Files.getLastModifiedTime(path).toMillis());
    }

    private static IOException isDirectory(String path) {
        return new IOException(path + " is a directory; copy it with recurse = true");
    }

    /** From the container: to `target` in it, or to the location `to`. */
    private void send(Path source, String to, Path target, boolean recurse) throws IOException {
        if (Files.isDirectory(source)) {
            if (!recurse) {
                throw isDirectory("file:" + source);
            }
            if (target != null) {
                Files.createDirectories(target);
            }
            for (Path each : inside(source)) {
                String below = each.getFileName().toString();
                send(each, to.replaceFirst("/+$", "") + "/" + below, target == null ? null : target.resolve(below), true);
            }
        } else if (target == null) {
            Upload out = new Upload(to, true);
            Files.copy(source, out);
            out.close();
        } else {
            Files.copy(source, Files.isDirectory(target) ? target.resolve(source.getFileName()) : target,
                    StandardCopyOption.REPLACE_EXISTING);
        }
    }

    private void fetch(String from, Path target, boolean recurse) throws IOException {
        String path = from.replaceFirst("/+$", "");
        String name = path.substring(path.lastIndexOf('/') + 1);
        List<FileInfo> entries = list(from);
        if (entries.size() == 1 && entries.get(0).name().equals(name)) {
            try (OutputStream out = Files.newOutputStream(Files.isDirectory(target) ? target.resolve(name) : target)) {
                copy(from, out, Long.MAX_VALUE);
            }
            return;
        }
        if (!recurse) {
            throw isDirectory(from);
        }
        Files.createDirectories(target);
        for (FileInfo each : entries) {
            fetch(each.path().replaceFirst("/+$", ""), target.resolve(each.name().replaceFirst("/+$", "")), true);
        }
    }

    private void copy(String file, OutputStream out, long most) throws IOException {
        Path local = local(file);
        long offset = 0;
        try (InputStream in = local == null ? null : Files.newInputStream(local)) {
            byte[] buffer = new byte[PIECE];
            while (offset < most) {
                int wanted = (int) Math.min(PIECE, most - offset);
                byte[] piece = buffer;
                int got;
                if (in != null) {
                    got = in.read(buffer, 0, wanted);
                } else {
                    String params = "{\"path\":" + Json.quote(file) + ",\"offset\":" + offset + ",\"length\":" + wanted + "}";
                    piece = Base64.getDecoder().decode(call("fs.read", params).path("bytes").asText());
                    got = piece.length;
                }
                if (got > 0) {
                    out.write(piece, 0, got);
                    offset += got;
                }
                if (got <= 0 || (in == null && got < wanted)) {
                    return;
                }
            }
        }
    }

    private static String pair(String from, String to, boolean recurse) {
        return "{\"from\":" + Json.quote(from) + ",\"to\":" + Json.quote(to) + ",\"recurse\":" + recurse + "}";
    }

    private JsonNode call(String method, String params) {
        return calls.require("dbutils.fs").call(method, params);
    }

    /** Writes a file of the control plane in pieces; it is there whole once this is closed. */
    private final class Upload extends OutputStream {
        private final long handle;
        private final ByteArrayOutputStream held = new ByteArrayOutputStream();

        Upload(String path, boolean overwrite) {
            String params = "{\"path\":" + Json.quote(path) + ",\"overwrite\":" + overwrite + "}";
            handle = DbFs.this.call("fs.create", params).path("handle").asLong();
        }

        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes) {
            write(bytes, 0, bytes.length);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) {
            for (int end = offset + length; offset < end; ) {
                int part = Math.min(PIECE - held.size(), end - offset);
                held.write(bytes, offset, part);
                offset += part;
                if (held.size() == PIECE) {
                    append();
                }
            }
        }

        private void append() {
            String data = Base64.getEncoder().encodeToString(held.toByteArray());
            DbFs.this.call("fs.append", "{\"handle\":" + handle + ",\"bytes\":" + Json.quote(data) + "}");
            held.reset();
        }

        @Override
        public void close() {
            if (held.size() > 0) {
                append();
            }
            DbFs.this.call("fs.close", "{\"handle\":" + handle + "}");
        }
    }
}
