package boathouse.spark;

/** A language of one command context that the driver runs itself: it keeps its state from command to command. */
interface Shell {
    /** Where it is: {@code starting}, {@code ready}, or {@code failed} for good. */
    final class Standing {
        static final Standing STARTING = new Standing("starting", "");
        static final Standing READY = new Standing("ready", "");

        final String state;
        final String message;

        Standing(String state, String message) {
            this.state = state;
            this.message = message;
        }

        static Standing failed(String message) {
            return new Standing("failed", message);
        }

        String json() {
            return "{\"state\":\"" + state + "\",\"message\":" + Json.quote(message) + "}";
        }
    }

    /** Begins to start it, on another thread. Called once. */
    void start();

    Standing standing();

    /**
     * Runs a command on the calling thread, after every earlier one.
     *
     * @return its result as a JSON object: {@code resultType} text, table, image, images or error, with their members
     */
    String run(Statement statement) throws Exception;

    /** Asks the running command to end; called again and again until it has. Its Spark jobs are cancelled by others. */
    void interrupt(Thread worker, long askedMillisAgo);

    /** Ends it; what runs in it ends with it where that can be done. */
    void close();
}
