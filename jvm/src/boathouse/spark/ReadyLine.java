package boathouse.spark;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** Tells whoever started this process that it can serve: one JSON line on the descriptor named by the environment. */
final class ReadyLine {
    private static final String VARIABLE = "BOATHOUSE_READY_FD";

    private ReadyLine() {}

    /** Writes the line once; to standard output when no descriptor was handed over. */
    static void write(String json) throws IOException {
        byte[] line = (json + "\n").getBytes(StandardCharsets.UTF_8);
        String descriptor = System.getenv(VARIABLE);
        if (descriptor == null || descriptor.isEmpty()) {
            System.out.write(line);
            System.out.flush();
            return;
        }
        try (OutputStream out = new FileOutputStream("/proc/self/fd/" + Integer.parseInt(descriptor))) {
            out.write(line);
        }
    }
}
