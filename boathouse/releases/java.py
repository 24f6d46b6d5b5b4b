"""The Java side of a build: finds a JDK, links the release's JRE from it, compiles our JVM module.

Knows nothing of releases, archives or Spark beyond a class path.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from boathouse.releases import jars

JRE_MODULES = (
    "java.se",
    "jdk.charsets",
    "jdk.crypto.cryptoki",
    "jdk.crypto.ec",
    "jdk.dynalink",
    "jdk.httpserver",
    "jdk.incubator.vector",
    "jdk.jcmd",
    "jdk.jfr",
    "jdk.localedata",
    "jdk.management",
    "jdk.management.agent",
    "jdk.naming.dns",
    "jdk.net",
    "jdk.nio.mapmode",
    "jdk.security.auth",
    "jdk.security.jgss",
    "jdk.unsupported",
    "jdk.xml.dom",
    "jdk.zipfs",
)
"""All of Java SE (Spark, Hadoop, Delta and customers' jars use most of it) and what Spark's launcher, our control
server and diagnosis by `jcmd` ask for."""

_JVM_FOLDERS = ("/usr/lib/jvm", "/usr/java", "/opt/java", "/Library/Java/JavaVirtualMachines")


class NoJdk(Exception):
    """No JDK that can build a release was found; the message says what would be one."""


class JavaFailed(Exception):
    """A tool of the JDK failed; the message holds what it said."""


@dataclass(frozen=True)
class Jdk:
    """A JDK with compiler and linker."""

    home: Path
    version: str
    """As its `release` file says it, such as `17.0.15`."""

    @property
    def major(self) -> int:
        return int(self.version.split(".", 1)[0])

    def tool(self, name: str) -> str:
        return str(self.home / "bin" / name)

    def identity(self) -> str:
        """Tells two JDKs apart: the text of its `release` file."""
        return (self.home / "release").read_text(encoding="utf-8")


def find_jdk(majors: Sequence[int], environ_java_home: str | None) -> Jdk:
    """The JDK to build with, of the first of these major versions that is there: JAVA_HOME, then the one on PATH, then
    the usual folders.

    Raises NoJdk. A JDK without `jlink` modules (`jmods`) does not count.
    """
    there = [jdk for home in _candidates(environ_java_home) if (jdk := _inspect(home)) is not None]
    for major in majors:
        for jdk in there:
            if jdk.major == major:
                return jdk
    wanted = " or ".join(map(str, majors))
    raise NoJdk(f"no JDK {wanted} with javac and jlink; on Debian or Ubuntu: apt-get install openjdk-{majors[0]}-jdk-headless")


def _candidates(environ_java_home: str | None) -> Iterable[Path]:
    if environ_java_home:
        yield Path(environ_java_home)
    javac = shutil.which("javac")
    if javac:
        yield Path(javac).resolve().parent.parent
    for folder in _JVM_FOLDERS:
        if Path(folder).is_dir():
            for home in sorted(Path(folder).iterdir()):
                yield home
                yield home / "Contents" / "Home"


def _inspect(home: Path) -> Jdk | None:
    release = home / "release"
    if not release.is_file() or not (home / "jmods" / "java.base.jmod").exists():
        return None
    if not all((home / "bin" / tool).exists() for tool in ("javac", "jlink", "java")):
        return None
    found = re.search(r'^JAVA_VERSION="([^"]+)"', release.read_text(encoding="utf-8"), re.MULTILINE)
    return Jdk(home.resolve(), found.group(1)) if found else None


def link_jre(jdk: Jdk, into: Path) -> None:
    """Makes the JRE. Uncompressed: it is read by every start of every JVM."""
    _run(
        [
            jdk.tool("jlink"),
            "--module-path",
            str(jdk.home / "jmods"),
            "--add-modules",
            ",".join(JRE_MODULES),
            "--no-man-pages",
            "--no-header-files",
            "--output",
            str(into),
        ]
    )


LAMBDA_CHECKS = {
    # find(): if (... || isSerializable || altInterfaces.length > 0 || altMethods.length > 0) return null;
    "15069a000f 1907be9d0009 1908be9e0005": "1506570000 190757000000 190857a70005",
    # register(): if (... && !isSerializable && altInterfaces.length == 0 && altMethods.length == 0) addToArchive(...);
    "15069a0021 1907be9a001b 1908be9a0015": "1506570000 190757000000 190857000000",
}
"""Bytecode of `java.lang.invoke.LambdaProxyClassArchive` (OpenJDK 17): the conditions, and the same loads with their results
dropped. Same length, and the verifier accepts it."""


def archive_every_lambda(jre: Path) -> bool:
    """Lets class-data archives hold serializable lambdas too: all of Scala's are, and OpenJDK leaves those out.

    A starting Spark otherwise makes 3,500 classes anew, a fifth of its processor time. What the archive stores of a lambda has no
    room for the left-out properties, so that two lambdas of one class with the same body and types but different interfaces
    would be taken for one; Scala and Java give each lambda expression a body of its own. False, and nothing is changed, for a
    Java whose class is another.
    """
    modules = jre / "lib" / "modules"
    content = modules.read_bytes()
    for before, after in LAMBDA_CHECKS.items():
        old, new = bytes.fromhex(before), bytes.fromhex(after)
        if content.count(old) != 1:
            return False
        content = content.replace(old, new)
    modules.write_bytes(content)
    return True


def required_glibc(jre: Path) -> str:
    """The newest version of the C library that the JRE's programs ask for, such as `2.34`: images need at least it."""
    newest = (2, 0)
    for binary in [*jre.glob("bin/*"), *jre.glob("lib/**/*.so")]:
        if binary.is_file():
            for minor in re.findall(rb"GLIBC_2\.(\d+)\b", binary.read_bytes()):
                newest = max(newest, (2, int(minor)))
    return f"{newest[0]}.{newest[1]}"


def compile_module(jdk: Jdk, sources: Path, class_path: Sequence[Path], target: int, jar: Path) -> None:
    """Compiles the module's sources against one Spark and writes a reproducible jar with its resources.

    `target` is the Java version that must be able to run it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(str(path) for path in (sources / "src").rglob("*.java"))
        arguments = Path(scratch, "arguments")
        quoted = [f'"{text}"' for text in ["-cp", ":".join(map(str, class_path)), "-d", f"{scratch}/classes", *files]]
        arguments.write_text("\n".join(quoted), encoding="utf-8")
        _run([jdk.tool("javac"), "--release", str(target), "-proc:none", "-nowarn", "-g", f"@{arguments}"])
        entries = {"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\nCreated-By: Boathouse\r\n\r\n"}
        for root in (Path(scratch, "classes"), sources / "resources"):
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    entries[path.relative_to(root).as_posix()] = path.read_bytes()
        jars.write(jar, entries)


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise JavaFailed(f"{Path(argv[0]).name} ended with {done.returncode}: {said[-4000:]}")
