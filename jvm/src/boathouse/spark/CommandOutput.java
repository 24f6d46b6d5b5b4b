package boathouse.spark;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UnsupportedEncodingException;
import java.nio.charset.StandardCharsets;

/**
 * What one command prints: kept up to a limit while it runs. What its threads print after its end goes to the
 * process's own output, never to another command's result.
 */
final class CommandOutput extends OutputStream {
    static final int LIMIT = 8 << 20;

    private static final ThreadLocal<CommandOutput> CURRENT = new ThreadLocal<>();
    private static PrintStream processOut;

    private final ByteArrayOutputStream kept = new ByteArrayOutputStream();
    private boolean truncated;
    private boolean closed;

    /** Has System.out and System.err follow the commands of their threads, from now on. Idempotent. */
    static synchronized void install() {
        if (processOut == null) {
            processOut = System.out;
            System.setOut(printer(new Routed(System.out)));
            System.setErr(printer(new Routed(System.err)));
        }
    }

    static PrintStream printer(OutputStream into) {
        try {
            return new PrintStream(into, true, "UTF-8");
        } catch (UnsupportedEncodingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** The calling thread prints into this one from now on. */
    void enter() {
        CURRENT.set(this);
    }

    /** The calling thread prints where the process does. Nothing more is taken. */
    synchronized void leave() {
        CURRENT.remove();
        closed = true;
    }

    synchronized String text() {
        return new String(kept.toByteArray(), StandardCharsets.UTF_8);
    }

    synchronized boolean truncated() {
        return truncated;
    }

    @Override
    public void write(int one) {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int from, int count) {
        synchronized (this) {
            if (!closed) {
                int room = Math.min(count, LIMIT - kept.size());
                truncated = truncated || room < count;
                kept.write(bytes, from, room);
                return;
            }
        }
        if (processOut != null) {
            CommandOutput mine = CURRENT.get();
            CURRENT.remove();
            processOut.write(bytes, from, count);
            if (mine != null) {
                CURRENT.set(mine);
            }
        }
    }

    /** An output of the process, or the command's whose thread writes. */
    private static final class Routed extends OutputStream {
        private final PrintStream process;

        Routed(PrintStream process) {
            this.process = process;
        }

        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int count) {
            CommandOutput mine = CURRENT.get();
            if (mine == null) {
                process.write(bytes, from, count);
            } else {
                mine.write(bytes, from, count);
            }
        }

        @Override
        public void flush() {
            process.flush();
        }
    }
}
