package boathouse.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/** Calls of one command context to the control plane, which decides each as the principal whose context it is. */
final class NodeCalls {
    private static final int MAX_ANSWER = 16 << 20;

    private final String socket;
    private final String capability;

    NodeCalls(String socket, String capability) {
        this.socket = socket;
        this.capability = capability;
    }

    /** @param options {@code socket} and {@code capability}: how the context calls the control plane */
    static NodeCalls of(JsonNode options) {
        return new NodeCalls(
                options.path("socket").asText("/run/boathouse/node.sock"), options.path("capability").asText(""));
    }

    /** Whether this context may call at all. */
    boolean possible() {
        return !capability.isEmpty();
    }

    /** These calls, for `what`. Only the process of a context's own language may call. */
    NodeCalls require(String what) {
        if (!possible()) {
            throw new UnsupportedOperationException(what + " works in contexts of this language; this context has another, and"
                    + " its own language has " + what);
        }
        return this;
    }

    /**
     * @param params a JSON object as text
     * @throws SecurityException when the principal may not, with the platform's words
     * @throws IllegalArgumentException when it is refused for another reason
     */
    JsonNode call(String method, String params) {
        String line = "{\"id\":1,\"method\":" + Json.quote(method) + ",\"params\":" + params + ",\"capability\":"
                + Json.quote(capability) + "}\n";
        try (SocketChannel channel = SocketChannel.open(address())) {
            ByteBuffer out = ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8));
            while (out.hasRemaining()) {
                channel.write(out);
            }
            JsonNode answer = Json.parse(line(channel));
            if (answer.has("error")) {
                throw refusal(answer.path("error"));
            }
            return answer.path("result");
        } catch (IOException failure) {
            throw new IllegalStateException(method + ": the platform cannot be reached: " + failure, failure);
        }
    }

    private static RuntimeException refusal(JsonNode error) {
        String message = error.path("message").asText("refused");
        boolean denied = error.path("code").asText().equals("PERMISSION_DENIED");
        return denied ? new SecurityException(message) : new IllegalArgumentException(message);
    }

    private static byte[] line(SocketChannel channel) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        ByteBuffer part = ByteBuffer.allocate(64 << 10);
        while (all.size() <= MAX_ANSWER && channel.read(part) >= 0) {
            all.write(part.array(), 0, part.position());
            if (part.position() > 0 && part.array()[part.position() - 1] == '\n') {
                return all.toByteArray();
            }
            part.clear();
        }
        throw new IOException("the platform closed the connection");
    }

    private SocketAddress address() {
        try {
            return (SocketAddress)
                    Class.forName("java.net.UnixDomainSocketAddress").getMethod("of", String.class).invoke(null, socket);
        } catch (ReflectiveOperationException olderJava) {
            throw new UnsupportedOperationException("calls to the platform from the JVM need Java 16 or later", olderJava);
        }
    }
}
