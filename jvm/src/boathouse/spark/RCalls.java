package boathouse.spark;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * What {@code dbutils.fs} and {@code dbutils.secrets} of R ask for: base R opens no unix sockets, so its process leaves a call in
 * a file and its mark in its output, and gets the answer on its standard input, which no secret leaves for a disk.
 *
 * <p>A call is one line of words: the function, then its arguments in hex, each with an x before it. An answer is one line too:
 * {@code answer}, the call's number, {@code ok} or {@code error}, and values in hex.
 */
final class RCalls {
    private final DbFs fs;
    private final DbUtils.Secrets secrets;

    RCalls(NodeCalls calls) {
        this.fs = new DbFs(calls);
        this.secrets = new DbUtils.Secrets(calls);
    }

    /** Serve the call that waits in that folder. @return false when none does */
    boolean serve(Path folder, OutputStream to) throws IOException {
        Path file = folder.resolve("call");
        if (!Files.exists(file)) {
            return false;
        }
        String[] words = new String(Files.readAllBytes(file), StandardCharsets.US_ASCII).trim().split(" ");
        Files.delete(file);
        StringBuilder answer = new StringBuilder("answer ").append(words[0]);
        try {
            List<String> arguments = new ArrayList<>();
            for (int at = 2; at < words.length; at++) {
                arguments.add(new String(bytes(words[at]), StandardCharsets.UTF_8));
            }
            List<byte[]> values = call(words[1], arguments);
            answer.append(" ok");
            values.forEach(value -> answer.append(' ').append(hex(value)));
        } catch (Exception refused) {
            String why = refused.getMessage() == null ? refused.toString() : refused.getMessage();
            answer.append(" error ").append(hex(why.getBytes(StandardCharsets.UTF_8)));
        }
        to.write(answer.append('\n').toString().getBytes(StandardCharsets.US_ASCII));
        to.flush();
        return true;
    }

    private List<byte[]> call(String name, List<String> given) throws IOException {
        switch (name) {
            case "fs.ls":
                List<byte[]> found = new ArrayList<>();
                for (DbFs.FileInfo each : fs.list(given.get(0))) {
                    found.add(text(each.path()));
                    found.add(text(each.name()));
                    found.add(text(Long.toString(each.size())));
                    found.add(text(Long.toString(each.modificationTime())));
                }
                return found;
            case "fs.head":
                return one(text(fs.head(given.get(0), Integer.parseInt(given.get(1)))));
            case "fs.put":
                return truth(fs.put(given.get(0), given.get(1), isTrue(given, 2)));
            case "fs.cp":
                return truth(fs.cp(given.get(0), given.get(1), isTrue(given, 2)));
            case "fs.mv":
                return truth(fs.mv(given.get(0), given.get(1), isTrue(given, 2)));
            case "fs.rm":
                return truth(fs.rm(given.get(0), isTrue(given, 1)));
            case "fs.mkdirs":
                return truth(fs.mkdirs(given.get(0)));
            case "secrets.get":
                return one(secrets.getBytes(given.get(0), given.get(1)));
            case "secrets.list":
                return texts(secrets.list(given.get(0)));
            case "secrets.listScopes":
                return texts(secrets.listScopes());
            default:
                throw name.startsWith("fs.")
                        ? DbFs.noMounts(name.substring("fs.".length()))
                        : new UnsupportedOperationException("dbutils." + name + " is not served in R");
        }
    }

    private static boolean isTrue(List<String> given, int at) {
        return given.get(at).equals("TRUE");
    }

    private static List<byte[]> truth(boolean value) {
        return one(text(value ? "TRUE" : "FALSE"));
    }

    private static List<byte[]> one(byte[] value) {
        return Collections.singletonList(value);
    }

    private static byte[] text(String value) {
        return value.getBytes(StandardCharsets.UTF_8);
    }

    private static List<byte[]> texts(scala.collection.immutable.List<String> names) {
        List<byte[]> found = new ArrayList<>();
        for (int at = 0; at < names.length(); at++) {
            found.add(text(names.apply(at)));
        }
        return found;
    }

    private static String hex(byte[] bytes) {
        StringBuilder hex = new StringBuilder(1 + 2 * bytes.length).append('x');
        for (byte each : bytes) {
            hex.append(Character.forDigit(each >> 4 & 15, 16)).append(Character.forDigit(each & 15, 16));
        }
        return hex.toString();
    }

    private static byte[] bytes(String hex) {
        byte[] bytes = new byte[(hex.length() - 1) / 2];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) Integer.parseInt(hex.substring(1 + 2 * at, 3 + 2 * at), 16);
        }
        return bytes;
    }
}
