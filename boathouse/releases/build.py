"""Builds a release: fetches, links, compiles, trains the archive, and renames the whole into place.

A release's name is the digest of everything that goes into it (pinned sources, our own sources, the JDK's identity,
the launcher's bytes), so a second build finds it there. A build that dies leaves a folder that nobody looks at; the
next build removes it. Parts that releases share (Spark's jars, the JRE) are built once and linked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boathouse.releases import archive, jars, java, sources
from boathouse.releases.archive import ARCHIVE_FORMAT, Stage
from boathouse.releases.java import Jdk
from boathouse.releases.release import (
    ARCHIVE,
    LAMBDAS,
    MODULE_JAR,
    Release,
    Releases,
    compose,
    file_digest,
    ordered_jars,
    tree_digest,
)
from boathouse.releases.runtimes import Runtime
from boathouse.releases.sources import Progress

_FORMAT = 1
"""Raised when the builder changes what it makes out of the same inputs."""

MTIME = 1_577_836_800
"""Every file's time, 2020-01-01: archives hold for sizes and times of jars, however the files were copied."""

_NEVER_USED = (
    "kubernetes-",
    "spark-kubernetes_",
    "spark-yarn_",
    "vertx-",
    "zjsonpatch-",
    "netty-tcnative-boringssl-static-2",
)
"""Jars of other cluster managers, and natives (see `_is_used`): a node's Spark never looks at them."""

_OTHER_PLATFORMS = ("-osx-", "-windows-", "-linux-riscv64", "-linux-aarch_64", "-linux-x86_64")


@dataclass(frozen=True)
class Inputs:
    """What a release is built from, beside the pinned downloads."""

    runtime: Runtime
    jdk: Jdk
    module: Path
    """Folder with `src/` and `resources/` of our JVM module."""
    launcher: Path | None
    """The launcher program; None leaves it out (tests that start processes themselves)."""
    programs: Path | None
    """Folder of the node programs; those that run in the customer's container (`repl*.py`) are copied."""
    archive: bool = True

    def digest(self) -> str:
        """The release's name: 32 hex digits over all that goes in."""
        whole = hashlib.sha256()
        parts = [f"format {_FORMAT}", f"archive {ARCHIVE_FORMAT if self.archive else 'none'}", repr(self.runtime)]
        parts += [f"{source.file} {source.sha256}" for source in self._pinned()]
        parts += [self.jdk.identity(), os.uname().machine, " ".join(java.JRE_MODULES)]
        parts.append(f"module {tree_digest(self.module)}")
        parts.append(f"launcher {file_digest(self.launcher)}" if self.launcher else "no launcher")
        parts += [f"{path.name} {file_digest(path)}" for path in self._program_files()]
        parts.append(tree_digest(_CONF))
        parts.append(f"bytecode {sys.implementation.cache_tag}")
        for part in parts:
            whole.update(part.encode() + b"\0")
        return whole.hexdigest()[:32]

    def _pinned(self) -> list[sources.Source]:
        runtime = self.runtime
        return [sources.spark_source(runtime), *sources.spark_jar_sources(runtime), *sources.jar_sources(runtime)]

    def _program_files(self) -> list[Path]:
        return sorted(self.programs.glob("repl*.py")) if self.programs else []

    def archive_digest(self) -> str:
        """What an archive holds for: the JRE and every jar. A release that differs elsewhere links the same one."""
        parts = [str(_FORMAT), str(ARCHIVE_FORMAT), _jre_key(self.jdk), tree_digest(self.module)]
        parts += [source.sha256 for source in self._pinned()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_CONF = Path(__file__).parent / "conf"


def module_folder() -> Path:
    """Our JVM module's sources: beside the package in a checkout, inside it in a wheel."""
    for folder in (Path(__file__).parent / "jvm", Path(__file__).parents[2] / "jvm"):
        if (folder / "src").is_dir():
            return folder
    raise FileNotFoundError("the sources of the JVM module are neither in the package nor beside it")


def build(inputs: Inputs, releases: Releases, progress: Progress, stage: Stage | None = None) -> Release:
    """Builds the release unless it is there, and makes it the one of its runtime key.

    `stage` runs the archive's training where the runtime is mounted; None uses a mount namespace where that is
    possible and leaves the archive out where not (the release says so). Raises SourceUnavailable, JavaFailed,
    StageFailed.
    """
    digest = inputs.digest()
    key = inputs.runtime.key
    final = releases.root / digest
    if not (final / "RELEASE.json").exists():
        releases.root.mkdir(parents=True, exist_ok=True)
        with _only_one(releases.root / f".{digest}.lock"):
            if not (final / "RELEASE.json").exists():
                _build_into(final, inputs, digest, releases.root, progress, stage)
    releases.point(key, digest)
    built = releases.get(key)
    assert built is not None
    return built


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """One builder of the same thing at a time on this machine; the kernel frees the lock when a builder dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_into(final: Path, inputs: Inputs, digest: str, root: Path, progress: Progress, stage: Stage | None) -> None:
    runtime = inputs.runtime
    part = root / f".building-{digest}"
    if part.exists():
        shutil.rmtree(part)
    jdk = inputs.jdk
    spark_name = f"spark-{runtime.spark}" if runtime.spark_jars == "pypi" else f"spark-{runtime.spark}_{runtime.scala}"
    spark = _shared(root, spark_name, _spark_key(runtime), lambda to: _spark(to, runtime, root, progress))
    jre = _shared(root, f"jre-{jdk.version}", _jre_key(jdk), lambda to: _jre(to, jdk, progress))
    progress("put the release together")
    part.mkdir()
    _link_tree(spark, part)
    _link_tree(jre, part / "jre")
    for file, _ in runtime.replaced_jars:
        (part / "jars" / file).unlink()
    for source in sources.jar_sources(runtime):
        shutil.copyfile(sources.fetch(source, root / "downloads", progress), part / "jars" / source.file)
    progress("compile the JVM module")
    class_path = sorted((part / "jars").glob("*.jar"))
    target = 17 if runtime.spark.startswith("4.") else 8
    java.compile_module(inputs.jdk, inputs.module, class_path, target, part / "jars" / MODULE_JAR)
    _programs(part, inputs)
    _bytecode(part)
    shutil.copytree(_CONF, part / "conf")
    about = {
        "key": runtime.key,
        "digest": digest,
        "spark": runtime.spark,
        "scala": runtime.scala,
        "delta": runtime.delta,
        "java": inputs.jdk.major,
        "jdk": inputs.jdk.version,
        "python": runtime.python_minor,
        "connect": runtime.connect,
        "glibc": java.required_glibc(part / "jre"),
        "jars": ordered_jars({path.name for path in (part / "jars").glob("*.jar")}),
        "archive": None,
        "archive_note": "built without a class-data archive",
    }
    _write_json(part / "RELEASE.json", about)
    normalise(part)
    if inputs.archive:
        about.update(_archive(part, inputs, root, progress, stage))
        _write_json(part / "RELEASE.json", about)
    _write_json(part / "MANIFEST.json", _manifest(part))
    normalise(part)
    part.rename(final)
    progress(f"release {runtime.key} is at {final}")


def _archive(part: Path, inputs: Inputs, root: Path, progress: Progress, stage: Stage | None) -> dict[str, str | None]:
    """Links the archive for these jars, made first where there is none yet."""
    if stage is None and not archive.can_use_namespaces():
        return {"archive": None, "archive_note": "neither a mount namespace nor an engine was there to make it with"}

    def make(into: Path) -> None:
        progress("train the class-data archive (a minute or two)")
        into.mkdir()
        release = compose(inputs.runtime.key, part, ())
        for made in archive.make_archives(release, into / "work", stage or archive.namespace_stage):
            made.rename(into / made.name)
        shutil.rmtree(into / "work")

    shared = _shared(root, f"archive-{inputs.runtime.spark}", inputs.archive_digest(), make)
    (part / "cds").mkdir()
    for path in shared.iterdir():
        os.link(path, part / "cds" / path.name)
    return {"archive": ARCHIVE, "lambdas": LAMBDAS, "archive_note": ""}


def _shared(root: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """A part that several releases link: made once under `parts/`, whole or not at all."""
    final = root / "parts" / f"{name}-{key[:16]}"
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(final.with_name(f".{final.name}.lock")):
        if not final.exists():
            part = final.with_name(f".building-{final.name}")
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            normalise(part)
            part.rename(final)
    return final


def _spark_key(runtime: Runtime) -> str:
    pinned = [sources.spark_source(runtime), *sources.spark_jar_sources(runtime)]
    return hashlib.sha256(" ".join([str(_FORMAT), *(source.sha256 for source in pinned)]).encode()).hexdigest()


def _jre_key(jdk: Jdk) -> str:
    return hashlib.sha256(f"{_FORMAT} {jdk.identity()} {java.JRE_MODULES} {java.LAMBDA_CHECKS}".encode()).hexdigest()


def _spark(into: Path, runtime: Runtime, root: Path, progress: Progress) -> None:
    """Spark's jars (flat, unsigned, those that nodes use) and Python files, out of PySpark's source distribution; for another
    Scala version than its own, what is compiled for one comes from Maven Central."""
    progress(f"fetch Apache Spark {runtime.spark}")
    tarball = sources.fetch(sources.spark_source(runtime), root / "downloads", progress)
    progress(f"unpack Apache Spark {runtime.spark}")
    (into / "jars").mkdir(parents=True)
    (into / "python").mkdir()
    top = f"pyspark-{runtime.spark}/"
    with tarfile.open(tarball) as archive_file:
        for member in archive_file:
            inner = member.name.removeprefix(top)
            if not member.isfile():
                continue
            if inner.startswith("deps/jars/") and inner.count("/") == 2:
                jar = inner.rsplit("/", 1)[1]
                if _is_used(jar) and not (runtime.spark_jars == "maven" and sources.of_a_scala(jar)):
                    _extract(archive_file, member, into / "jars" / jar)
            elif inner.startswith("pyspark/") and "/tests/" not in inner:
                _extract(archive_file, member, into / "python" / inner)
            elif inner.startswith("lib/py4j-"):
                _extract(archive_file, member, into / "py4j.zip")
    with zipfile.ZipFile(into / "py4j.zip") as py4j:
        py4j.extractall(into / "python", [name for name in py4j.namelist() if name.startswith("py4j/")])
    (into / "py4j.zip").unlink()
    for source in sources.spark_jar_sources(runtime):
        if _is_used(source.file):
            shutil.copyfile(sources.fetch(source, root / "downloads", progress), into / "jars" / source.file)
    for jar in (into / "jars").glob("*.jar"):
        if jars.is_signed(jar):
            unsigned = jar.with_suffix(".unsigned")
            jars.strip_signatures(jar, unsigned)
            unsigned.replace(jar)


def _is_used(jar: str) -> bool:
    if jar.startswith(_NEVER_USED):
        return False
    own = "-linux-x86_64" if os.uname().machine == "x86_64" else "-linux-aarch_64"
    return not any(mark in jar for mark in _OTHER_PLATFORMS if mark != own)


def _extract(archive_file: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    content = archive_file.extractfile(member)
    assert content is not None
    with content, into.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _jre(into: Path, jdk: Jdk, progress: Progress) -> None:
    progress(f"link a JRE {jdk.version}")
    java.link_jre(jdk, into)
    if not java.archive_every_lambda(into):
        progress(f"JRE {jdk.version} keeps Scala's lambdas out of class-data archives: clusters start slower")


def _programs(part: Path, inputs: Inputs) -> None:
    (part / "bin").mkdir(exist_ok=True)
    if inputs.launcher is not None:
        shutil.copyfile(inputs.launcher, part / "bin" / "launcher")
        (part / "bin" / "launcher").chmod(0o755)
    (part / "node").mkdir()
    for path in inputs._program_files():
        shutil.copyfile(path, part / "node" / path.name)


def _bytecode(part: Path) -> None:
    """Compile the release's Python ahead: it is mounted read-only, so that every process would compile it anew.

    Holds for images with this machine's minor version of Python, such as the platform's own; others compile as before.
    """
    folders = [str(part / name) for name in ("python", "node") if (part / name).is_dir()]
    how = ["-m", "compileall", "-q", "-s", str(part), "-p", "/databricks/runtime", "--invalidation-mode", "unchecked-hash"]
    # Files of other Python versions than this one's grammar are left as they are.
    subprocess.run([sys.executable, *how, *folders], check=False, stdout=subprocess.DEVNULL)


def _link_tree(source: Path, into: Path) -> None:
    """The same tree, its files linked: a part that releases share takes its room once."""
    for path in sorted(source.rglob("*")):
        target = into / path.relative_to(source)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def normalise(tree: Path) -> None:
    """One time and plain modes for everything, so that copies of a release are equal."""
    for path in [tree, *tree.rglob("*")]:
        if path.is_symlink():
            os.utime(path, (MTIME, MTIME), follow_symlinks=False)
            continue
        program = path.is_dir() or bool(path.stat().st_mode & 0o100)
        path.chmod(0o755 if program else 0o644)
        os.utime(path, (MTIME, MTIME))


def _manifest(tree: Path) -> dict[str, str]:
    return {
        str(path.relative_to(tree)): file_digest(path)
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def inputs_for(
    runtime: Runtime, *, java_home: str | None, launcher: Path | None, programs: Path | None, with_archive: bool = True
) -> Inputs:
    """The inputs on this machine. Raises NoJdk."""
    jdk = java.find_jdk(runtime.java_majors, java_home)
    return Inputs(runtime, jdk, module_folder(), launcher, programs, with_archive)


def node_programs() -> Path:
    """The folder of the programs that run in nodes, in this installation."""
    return Path(__file__).parents[1] / "node"


def launcher(root: Path) -> Path:
    """The launcher, compiled by its own builder once for its source. Raises LauncherFailed."""
    folder = node_programs() / "launcher"
    builder = folder / "build.py"
    key = hashlib.sha256(file_digest(folder / "launcher.c").encode() + file_digest(builder).encode()).hexdigest()

    def make(into: Path) -> None:
        into.mkdir()
        argv = [sys.executable, str(builder), str(into / "launcher")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LauncherFailed(f"the launcher could not be compiled: {done.stderr.strip()[-2000:]}")

    return _shared(root, "launcher", key, make) / "launcher"


class LauncherFailed(Exception):
    """No compiler could make the launcher; the message holds what each said."""
