package org.apache.spark.scheduler.boathouse;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import org.apache.spark.SparkEnv;

/** The classes that Scala commands define, from the driver to the executors, over Spark's own authenticated channel. */
public final class ReplFiles {
    private static final String NAME = "/classes";

    private ReplFiles() {}

    /** In the driver: serves the class files below a folder, also those that are written later. */
    public static void serve(File folder) {
        SparkEnv.get().rpcEnv().fileServer().addDirectory(NAME, folder);
    }

    /** In an executor: the bytes of a class, by its name. Throws IOException when the driver has none of that name. */
    static byte[] fetch(String className, String driver) throws IOException {
        String file = "spark://" + driver + NAME + "/" + className.replace('.', '/') + ".class";
        try (InputStream in = Channels.newInputStream(SparkEnv.get().rpcEnv().openChannel(file))) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            byte[] part = new byte[16 << 10];
            for (int count = in.read(part); count >= 0; count = in.read(part)) {
                all.write(part, 0, count);
            }
            return all.toByteArray();
        }
    }

    /** An executor's loader of such classes. Any other class is its parent's affair: no miss asks the driver. */
    public static final class Loader extends ClassLoader {
        private final String driver;

        /** @param driver host and port of the driver's own channel */
        public Loader(ClassLoader parent, String driver) {
            super(parent);
            this.driver = driver;
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            if (!name.startsWith("$line")) {
                throw new ClassNotFoundException(name);
            }
            try {
                byte[] bytes = fetch(name, driver);
                return defineClass(name, bytes, 0, bytes.length);
            } catch (IOException failure) {
                throw new ClassNotFoundException(name, failure);
            }
        }
    }
}
