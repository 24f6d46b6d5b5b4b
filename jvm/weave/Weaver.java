import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.apache.xbean.asm9.ClassReader;
import org.apache.xbean.asm9.ClassVisitor;
import org.apache.xbean.asm9.ClassWriter;
import org.apache.xbean.asm9.Handle;
import org.apache.xbean.asm9.MethodVisitor;
import org.apache.xbean.asm9.Opcodes;
import org.apache.xbean.asm9.Type;

/**
 * Writes Scala's lambdas out as classes, at build time.
 *
 * <p>The JVM's class-data archive keeps lambdas of {@code LambdaMetafactory.metafactory} (Java's) but never those of
 * {@code altMetafactory} (Scala's, which are serializable): a starting driver spins four thousand classes for them.
 * Here each such call site becomes a call of a factory of an ordinary class that does what the spun one would: same
 * interfaces, same {@code writeReplace} (so Spark's closures are found, cleaned and shipped as before), synthetic too.
 * What is not plainly convertible stays as it is.
 *
 * <p>usage: java -cp xbean-asm9-shaded.jar Weaver.java JAR... (each jar is rewritten in place, reproducibly)
 */
public final class Weaver {
    private static final String METAFACTORY = "java/lang/invoke/LambdaMetafactory";
    private static final String SERIALIZED = "java/lang/invoke/SerializedLambda";
    private static final LocalDateTime EPOCH = LocalDateTime.of(1980, 1, 1, 0, 0, 0);
    private static final int FLAG_SERIALIZABLE = 1;
    private static final int FLAG_MARKERS = 2;
    private static final int FLAG_BRIDGES = 4;

    /** One call site, as the metafactory would be told of it. */
    private record Site(
            String proxy,
            String name,
            Type factory,
            Type sam,
            Handle implementation,
            Type instantiated,
            boolean serializable,
            List<String> markers,
            List<Type> bridges) {
        String itf() {
            return factory.getReturnType().getInternalName();
        }
    }

    public static void main(String[] args) throws IOException {
        for (String jar : args) {
            int sites = weave(Path.of(jar));
            System.out.println(Path.of(jar).getFileName() + ": " + sites + " lambdas");
        }
    }

    private static int weave(Path jar) throws IOException {
        TreeMap<String, byte[]> entries = new TreeMap<>();
        int sites = 0;
        try (ZipFile zip = new ZipFile(jar.toFile())) {
            Enumeration<? extends ZipEntry> each = zip.entries();
            while (each.hasMoreElements()) {
                ZipEntry entry = each.nextElement();
                if (entry.isDirectory()) { // Spark looks some of its folders up
                    entries.put(entry.getName(), new byte[0]);
                    continue;
                }
                byte[] content;
                try (InputStream in = zip.getInputStream(entry)) {
                    content = in.readAllBytes();
                }
                if (entry.getName().endsWith(".class") && !entry.getName().startsWith("META-INF/")) {
                    Map<String, byte[]> woven = weave(content);
                    sites += woven.size() - 1;
                    entries.putAll(woven);
                } else {
                    entries.put(entry.getName(), content);
                }
            }
        }
        write(jar, entries);
        return sites;
    }

    /** The class and the classes of its lambdas, by entry name; the class alone, untouched, when it has none. */
    private static Map<String, byte[]> weave(byte[] content) {
        ClassReader reader = new ClassReader(content);
        Map<String, byte[]> woven = new TreeMap<>();
        String caller = reader.getClassName();
        Set<String> reachable = reachableMethods(reader);
        ClassWriter writer = new ClassWriter(reader, 0);
        List<Site> sites = new ArrayList<>();
        reader.accept(
                new ClassVisitor(Opcodes.ASM9, writer) {
                    @Override
                    public MethodVisitor visitMethod(int access, String name, String desc, String sig, String[] thrown) {
                        MethodVisitor method = super.visitMethod(access, name, desc, sig, thrown);
                        return new MethodVisitor(Opcodes.ASM9, method) {
                            @Override
                            public void visitInvokeDynamicInsn(String name, String desc, Handle bsm, Object... args) {
                                Site site = site(caller, sites.size(), name, desc, bsm, args, reachable);
                                if (site == null) {
                                    super.visitInvokeDynamicInsn(name, desc, bsm, args);
                                } else {
                                    sites.add(site);
                                    super.visitMethodInsn(Opcodes.INVOKESTATIC, site.proxy, "make", desc, false);
                                }
                            }
                        };
                    }
                },
                0);
        if (sites.isEmpty()) {
            woven.put(caller + ".class", content);
            return woven;
        }
        woven.put(caller + ".class", writer.toByteArray());
        for (Site site : sites) {
            woven.put(site.proxy + ".class", proxy(caller, reader.readUnsignedShort(6), site));
        }
        return woven;
    }

    /** The class's static methods that another class of its package may call. */
    private static Set<String> reachableMethods(ClassReader reader) {
        Set<String> found = new HashSet<>();
        reader.accept(
                new ClassVisitor(Opcodes.ASM9) {
                    @Override
                    public MethodVisitor visitMethod(int access, String name, String desc, String sig, String[] thrown) {
                        if ((access & Opcodes.ACC_PRIVATE) == 0 && (access & Opcodes.ACC_STATIC) != 0) {
                            found.add(name + desc);
                        }
                        return null;
                    }
                },
                ClassReader.SKIP_CODE | ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
        return found;
    }

    /** The call site, or null when it is not one of those that are woven. */
    private static Site site(
            String caller, int number, String name, String desc, Handle bsm, Object[] args, Set<String> reachable) {
        if (!bsm.getOwner().equals(METAFACTORY) || !bsm.getName().equals("altMetafactory")) {
            return null;
        }
        Handle implementation = (Handle) args[1];
        if (implementation.getTag() != Opcodes.H_INVOKESTATIC
                || !implementation.getOwner().equals(caller)
                || !reachable.contains(implementation.getName() + implementation.getDesc())) {
            return null;
        }
        int flags = (Integer) args[3];
        int at = 4;
        List<String> markers = new ArrayList<>();
        if ((flags & FLAG_MARKERS) != 0) {
            int count = (Integer) args[at++];
            for (int i = 0; i < count; i++) {
                markers.add(((Type) args[at++]).getInternalName());
            }
        }
        List<Type> bridges = new ArrayList<>();
        if ((flags & FLAG_BRIDGES) != 0) {
            int count = (Integer) args[at++];
            for (int i = 0; i < count; i++) {
                bridges.add((Type) args[at++]);
            }
        }
        Site site = new Site(
                caller + "$$Lambda$W" + number,
                name,
                Type.getMethodType(desc),
                (Type) args[0],
                implementation,
                (Type) args[2],
                (flags & FLAG_SERIALIZABLE) != 0,
                markers,
                bridges);
        List<Type> methods = new ArrayList<>(bridges);
        methods.add(site.sam);
        for (Type method : methods) {
            if (!convertible(site, method)) {
                return null;
            }
        }
        return site;
    }

    /** Whether calling the implementation from a method of this type needs casts of references and nothing else. */
    private static boolean convertible(Site site, Type method) {
        Type[] captured = site.factory.getArgumentTypes();
        Type[] given = method.getArgumentTypes();
        Type[] wanted = Type.getArgumentTypes(site.implementation.getDesc());
        if (captured.length + given.length != wanted.length) {
            return false;
        }
        for (int i = 0; i < captured.length; i++) {
            if (!captured[i].equals(wanted[i]) && (isPrimitive(captured[i]) || isPrimitive(wanted[i]))) {
                return false;
            }
        }
        for (int i = 0; i < given.length; i++) {
            Type to = wanted[captured.length + i];
            if (!given[i].equals(to) && (isPrimitive(given[i]) || isPrimitive(to))) {
                return false;
            }
        }
        Type got = Type.getReturnType(site.implementation.getDesc());
        Type expected = method.getReturnType();
        return got.equals(expected) || !(isPrimitive(got) || isPrimitive(expected));
    }

    /** Also true of void. */
    private static boolean isPrimitive(Type type) {
        return type.getSort() < Type.ARRAY;
    }

    private static byte[] proxy(String caller, int version, Site site) {
        ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
        List<String> interfaces = new ArrayList<>(List.of(site.itf()));
        for (String marker : site.markers) {
            if (!interfaces.contains(marker)) {
                interfaces.add(marker);
            }
        }
        if (site.serializable && !interfaces.contains("java/io/Serializable")) {
            interfaces.add("java/io/Serializable");
        }
        writer.visit(
                version,
                Opcodes.ACC_FINAL | Opcodes.ACC_SUPER | Opcodes.ACC_SYNTHETIC,
                site.proxy,
                null,
                "java/lang/Object",
                interfaces.toArray(new String[0]));
        Type[] captured = site.factory.getArgumentTypes();
        for (int i = 0; i < captured.length; i++) {
            int access = Opcodes.ACC_PRIVATE | Opcodes.ACC_FINAL;
            writer.visitField(access, "arg$" + (i + 1), captured[i].getDescriptor(), null, null).visitEnd();
        }
        constructor(writer, site, captured);
        factory(writer, site, captured);
        forward(writer, caller, site, site.sam);
        for (Type bridge : site.bridges) {
            if (!bridge.equals(site.sam)) {
                forward(writer, caller, site, bridge);
            }
        }
        if (site.serializable) {
            writeReplace(writer, caller, site, captured);
        }
        writer.visitEnd();
        return writer.toByteArray();
    }

    private static void constructor(ClassWriter writer, Site site, Type[] captured) {
        String desc = Type.getMethodDescriptor(Type.VOID_TYPE, captured);
        MethodVisitor code = writer.visitMethod(Opcodes.ACC_PRIVATE, "<init>", desc, null, null);
        code.visitCode();
        code.visitVarInsn(Opcodes.ALOAD, 0);
        code.visitMethodInsn(Opcodes.INVOKESPECIAL, "java/lang/Object", "<init>", "()V", false);
        int local = 1;
        for (int i = 0; i < captured.length; i++) {
            code.visitVarInsn(Opcodes.ALOAD, 0);
            code.visitVarInsn(captured[i].getOpcode(Opcodes.ILOAD), local);
            code.visitFieldInsn(Opcodes.PUTFIELD, site.proxy, "arg$" + (i + 1), captured[i].getDescriptor());
            local += captured[i].getSize();
        }
        code.visitInsn(Opcodes.RETURN);
        code.visitMaxs(0, 0);
        code.visitEnd();
    }

    /** A lambda that captures nothing is one object for ever, as the metafactory makes it. */
    private static void factory(ClassWriter writer, Site site, Type[] captured) {
        String own = "L" + site.proxy + ";";
        int access = Opcodes.ACC_STATIC;
        MethodVisitor code = writer.visitMethod(access, "make", site.factory.getDescriptor(), null, null);
        code.visitCode();
        if (captured.length == 0) {
            code.visitFieldInsn(Opcodes.GETSTATIC, site.proxy, "INSTANCE", own);
        } else {
            code.visitTypeInsn(Opcodes.NEW, site.proxy);
            code.visitInsn(Opcodes.DUP);
            int local = 0;
            for (Type type : captured) {
                code.visitVarInsn(type.getOpcode(Opcodes.ILOAD), local);
                local += type.getSize();
            }
            String desc = Type.getMethodDescriptor(Type.VOID_TYPE, captured);
            code.visitMethodInsn(Opcodes.INVOKESPECIAL, site.proxy, "<init>", desc, false);
        }
        code.visitInsn(Opcodes.ARETURN);
        code.visitMaxs(0, 0);
        code.visitEnd();
        if (captured.length == 0) {
            int field = Opcodes.ACC_PRIVATE | Opcodes.ACC_STATIC | Opcodes.ACC_FINAL;
            writer.visitField(field, "INSTANCE", own, null, null).visitEnd();
            MethodVisitor first = writer.visitMethod(Opcodes.ACC_STATIC, "<clinit>", "()V", null, null);
            first.visitCode();
            first.visitTypeInsn(Opcodes.NEW, site.proxy);
            first.visitInsn(Opcodes.DUP);
            first.visitMethodInsn(Opcodes.INVOKESPECIAL, site.proxy, "<init>", "()V", false);
            first.visitFieldInsn(Opcodes.PUTSTATIC, site.proxy, "INSTANCE", own);
            first.visitInsn(Opcodes.RETURN);
            first.visitMaxs(0, 0);
            first.visitEnd();
        }
    }

    private static void forward(ClassWriter writer, String caller, Site site, Type method) {
        int access = Opcodes.ACC_PUBLIC;
        MethodVisitor code = writer.visitMethod(access, site.name, method.getDescriptor(), null, null);
        code.visitCode();
        Type[] captured = site.factory.getArgumentTypes();
        Type[] wanted = Type.getArgumentTypes(site.implementation.getDesc());
        for (int i = 0; i < captured.length; i++) {
            code.visitVarInsn(Opcodes.ALOAD, 0);
            code.visitFieldInsn(Opcodes.GETFIELD, site.proxy, "arg$" + (i + 1), captured[i].getDescriptor());
            cast(code, captured[i], wanted[i]);
        }
        int local = 1;
        Type[] given = method.getArgumentTypes();
        for (int i = 0; i < given.length; i++) {
            code.visitVarInsn(given[i].getOpcode(Opcodes.ILOAD), local);
            cast(code, given[i], wanted[captured.length + i]);
            local += given[i].getSize();
        }
        Handle to = site.implementation;
        code.visitMethodInsn(Opcodes.INVOKESTATIC, to.getOwner(), to.getName(), to.getDesc(), to.isInterface());
        cast(code, Type.getReturnType(to.getDesc()), method.getReturnType());
        code.visitInsn(method.getReturnType().getOpcode(Opcodes.IRETURN));
        code.visitMaxs(0, 0);
        code.visitEnd();
    }

    private static void cast(MethodVisitor code, Type from, Type to) {
        if (!from.equals(to) && !to.getInternalName().equals("java/lang/Object")) {
            code.visitTypeInsn(Opcodes.CHECKCAST, to.getInternalName());
        }
    }

    /** What ships instead of the lambda: the same description that the metafactory's class would give. */
    private static void writeReplace(ClassWriter writer, String caller, Site site, Type[] captured) {
        int access = Opcodes.ACC_PRIVATE | Opcodes.ACC_FINAL;
        MethodVisitor code = writer.visitMethod(access, "writeReplace", "()Ljava/lang/Object;", null, null);
        code.visitCode();
        code.visitTypeInsn(Opcodes.NEW, SERIALIZED);
        code.visitInsn(Opcodes.DUP);
        code.visitLdcInsn(Type.getObjectType(caller));
        code.visitLdcInsn(site.itf());
        code.visitLdcInsn(site.name);
        code.visitLdcInsn(site.sam.getDescriptor());
        code.visitIntInsn(Opcodes.BIPUSH, site.implementation.getTag());
        code.visitLdcInsn(site.implementation.getOwner());
        code.visitLdcInsn(site.implementation.getName());
        code.visitLdcInsn(site.implementation.getDesc());
        code.visitLdcInsn(site.instantiated.getDescriptor());
        code.visitIntInsn(Opcodes.SIPUSH, captured.length);
        code.visitTypeInsn(Opcodes.ANEWARRAY, "java/lang/Object");
        for (int i = 0; i < captured.length; i++) {
            code.visitInsn(Opcodes.DUP);
            code.visitIntInsn(Opcodes.SIPUSH, i);
            code.visitVarInsn(Opcodes.ALOAD, 0);
            code.visitFieldInsn(Opcodes.GETFIELD, site.proxy, "arg$" + (i + 1), captured[i].getDescriptor());
            box(code, captured[i]);
            code.visitInsn(Opcodes.AASTORE);
        }
        String text = "Ljava/lang/String;";
        code.visitMethodInsn(
                Opcodes.INVOKESPECIAL,
                SERIALIZED,
                "<init>",
                "(Ljava/lang/Class;" + text.repeat(3) + "I" + text.repeat(4) + "[Ljava/lang/Object;)V",
                false);
        code.visitInsn(Opcodes.ARETURN);
        code.visitMaxs(0, 0);
        code.visitEnd();
    }

    private static void box(MethodVisitor code, Type type) {
        String owner =
                switch (type.getSort()) {
                    case Type.BOOLEAN -> "java/lang/Boolean";
                    case Type.CHAR -> "java/lang/Character";
                    case Type.BYTE -> "java/lang/Byte";
                    case Type.SHORT -> "java/lang/Short";
                    case Type.INT -> "java/lang/Integer";
                    case Type.LONG -> "java/lang/Long";
                    case Type.FLOAT -> "java/lang/Float";
                    case Type.DOUBLE -> "java/lang/Double";
                    default -> null;
                };
        if (owner != null) {
            String desc = "(" + type.getDescriptor() + ")L" + owner + ";";
            code.visitMethodInsn(Opcodes.INVOKESTATIC, owner, "valueOf", desc, false);
        }
    }

    private static void write(Path jar, TreeMap<String, byte[]> entries) throws IOException {
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(whole)) {
            zip.setLevel(Deflater.BEST_SPEED);
            List<String> names = new ArrayList<>(entries.keySet());
            names.remove("META-INF/MANIFEST.MF");
            if (entries.containsKey("META-INF/MANIFEST.MF")) {
                names.add(0, "META-INF/MANIFEST.MF");
            }
            for (String name : names) {
                ZipEntry entry = new ZipEntry(name);
                entry.setTimeLocal(EPOCH);
                zip.putNextEntry(entry);
                zip.write(entries.get(name));
                zip.closeEntry();
            }
        }
        try (OutputStream out = Files.newOutputStream(jar)) {
            whole.writeTo(out);
        }
    }
}
