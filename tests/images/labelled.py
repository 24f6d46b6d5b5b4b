"""Fifty images with labels: forty broken on purpose, each in its own way, and ten good ones.

A label says what is changed in a good image (a layer on top of it, fields of its configuration) and the code that the check
has to name. The base is a table of small files here; the campaign on a real engine puts the same layer on a real image.
"""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from boathouse.images.findings import Severity, Wanted
from tests.images.fake_view import ELF, ELF_ARM64, GLIBC

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SITE = "/databricks/python3/lib/python3.11/site-packages"
VENV = b"home = /usr/bin\ninclude-system-site-packages = true\nversion_info = 3.11.2.final.0\n"
SYSTEM = "/usr/lib/python3/dist-packages"
JVM = "/usr/lib/jvm/java-17"
STRICT = Wanted(strict=True)
ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@dataclass(frozen=True)
class Link:
    """A symbolic link to `target`."""

    target: str


@dataclass(frozen=True)
class Label:
    """An image and the finding it is made for; a good one has none. `later` is a second layer on top."""

    name: str
    code: str = ""
    severity: Severity = ERROR
    add: Mapping[str, bytes | Link] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    wanted: Wanted = field(default_factory=Wanted)
    later: tuple[str, ...] = ()

    def layers(self) -> list[bytes]:
        """The layers of this label, to be put on a base."""
        made = [layer(self.add, self.remove)]
        return [*made, layer({}, self.later)] if self.later else made


def layer(add: Mapping[str, bytes | Link], remove: tuple[str, ...] = ()) -> bytes:
    """A layer that takes away and adds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in remove:
            directory, _, name = path.strip("/").rpartition("/")
            tar.addfile(tarfile.TarInfo(f"{directory}/.wh.{name}" if directory else f".wh.{name}"))
        for path, content in add.items():
            info = tarfile.TarInfo(path.strip("/"))
            info.mode = 0o755
            if isinstance(content, Link):
                info.type, info.linkname = tarfile.SYMTYPE, content.target
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def base() -> bytes:
    """A good image in small: what Databricks' `python` image has, with Ubuntu's merged directories."""
    programs = (
        "bash",
        "cat",
        "chmod",
        "cp",
        "env",
        "mkdir",
        "rm",
        "ls",
        "sudo",
        "ps",
        "setfacl",
        "curl",
        "gpg",
        "ip",
        "python3.11",
    )
    files: dict[str, bytes | Link] = {"/bin": Link("usr/bin"), "/lib": Link("usr/lib"), "/lib64": Link("usr/lib64")}
    files |= {f"/usr/bin/{name}": ELF for name in programs}
    files |= {
        "/usr/lib64/ld-linux-x86-64.so.2": ELF,
        "/usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC,
        "/usr/bin/python3": Link("python3.11"),
        "/databricks/python3/bin/python3": Link("/usr/bin/python3"),
        "/databricks/python3/pyvenv.cfg": VENV,
        f"{SITE}/pip/__init__.py": b"",
        f"{SYSTEM}/pip/__init__.py": b"",
        "/usr/lib/os-release": b'NAME="Ubuntu"\nID=ubuntu\n',
        "/etc/os-release": Link("../usr/lib/os-release"),
    }
    return layer(files)


MUSL = {"/usr/lib/ld-musl-x86_64.so.1": ELF}
NO_GLIBC = ("/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libc.so.6")
JAVA = {
    f"{JVM}/bin/java": ELF, f"{JVM}/lib/server/libjvm.so": ELF, f"{JVM}/release": b'JAVA_VERSION="17.0.9"\n',
    "/usr/bin/java": Link(f"{JVM}/bin/java"),
}  # fmt: skip
JAVA_8 = {f"{JVM}/bin/java": ELF, f"{JVM}/release": b'JAVA_VERSION="1.8.0_392"\n', "/usr/bin/java": Link(f"{JVM}/bin/java")}


def package(name: str, version: str, file: str = "_version.py") -> dict[str, bytes | Link]:
    """An installed Python package."""
    return {f"{SITE}/{name}/__init__.py": b"", f"{SITE}/{name}/{file}": f'version = "{version}"\n'.encode()}


BROKEN = (
    Label("no bash", "bash.missing", remove=("/usr/bin/bash",)),
    Label("bash leads nowhere", "bash.missing", add={"/usr/bin/bash": Link("/nowhere/bash")}),
    Label("no coreutils", "coreutils.missing", remove=("/usr/bin/cat", "/usr/bin/chmod", "/usr/bin/env")),
    Label(
        "busybox for coreutils",
        "coreutils.busybox",
        WARNING,
        {
            "/usr/bin/busybox": ELF,
            **{f"/usr/bin/{name}": Link("busybox") for name in ("cat", "chmod", "cp", "env", "mkdir", "rm")},
        },
    ),
    Label("no C library", "libc.missing", remove=NO_GLIBC),
    Label(
        "an old C library",
        "libc.old",
        add={"/usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC.replace(b"2.36", b"2.17")},
        wanted=Wanted(glibc="2.34"),
    ),
    Label("musl without Java", "java.missing", add=MUSL, remove=NO_GLIBC),
    Label("musl with Java", "libc.musl", WARNING, MUSL | JAVA, NO_GLIBC),
    Label("arm64 by its configuration", "platform.other", config={"architecture": "arm64"}),
    Label("Windows", "platform.other", config={"os": "windows"}),
    Label("arm64 by its programs", "architecture.other", add={"/usr/lib/x86_64-linux-gnu/libc.so.6": ELF_ARM64 + GLIBC}),
    Label("too large", "size.large", wanted=Wanted(max_bytes=100)),
    Label("something where the runtime goes", "runtime.occupied", add={"/databricks/runtime/jars/x.jar": b"x"}),
    Label("a copy of Databricks' runtime", "spark.inside", WARNING, {"/databricks/jars/spark.jar": b"x"}),
    Label("strict, no Java", "java.missing", wanted=STRICT),
    Label("strict, Java 8", "java.version", add=JAVA_8, wanted=STRICT),
    Label(
        "strict, half a Java",
        "java.broken",
        add={path: data for path, data in JAVA.items() if "libjvm" not in path},
        wanted=STRICT,
    ),
    Label("strict, no sudo", "strict.sudo", add=JAVA, remove=("/usr/bin/sudo",), wanted=STRICT),
    Label("strict, no procps", "strict.procps", add=JAVA, remove=("/usr/bin/ps",), wanted=STRICT),
    Label("strict, no iproute2", "strict.iproute2", add=JAVA, remove=("/usr/bin/ip",), wanted=STRICT),
    Label("strict, Python elsewhere", "strict.python", add=JAVA, remove=("/databricks",), wanted=STRICT),
    Label(
        "no Python where it is needed",
        "python.missing",
        remove=("/databricks", "/usr/bin/python3", "/usr/bin/python3.11"),
        wanted=Wanted(languages=frozenset({"python"})),
    ),
    Label(
        "a virtual environment of a Python that is gone",
        "python.missing",
        WARNING,
        remove=("/usr/bin/python3", "/usr/bin/python3.11"),
    ),
    Label(
        "Python 3.7", "python.version", WARNING, {"/databricks/python3/pyvenv.cfg": b"home = /usr/bin\nversion_info = 3.7.9\n"}
    ),
    Label("Python not at its place", "python.place", WARNING, remove=("/databricks",)),
    Label("no pip", "python.pip", WARNING, remove=(f"{SITE}/pip", f"{SYSTEM}/pip")),
    Label("pyspark inside", "python.pyspark", WARNING, package("pyspark", "3.3.0", "version.py")),
    Label("an old pandas", "python.pandas", WARNING, package("pandas", "1.3.5")),
    Label("an old pyarrow", "python.pyarrow", WARNING, package("pyarrow", "6.0.1", "_generated_version.py")),
    Label(
        "numpy 2 with Spark 3.5", "python.numpy", WARNING, package("numpy", "2.1.0", "version.py"), wanted=Wanted(spark="3.5.7")
    ),
    Label("no R where it is needed", "r.missing", wanted=Wanted(languages=frozenset({"r"}))),
    Label("PYTHONHOME", "env.pythonhome", WARNING, env={"PYTHONHOME": "/opt/python"}),
    Label("LD_LIBRARY_PATH", "env.ld_library_path", WARNING, env={"LD_LIBRARY_PATH": "/opt/lib"}),
    Label("JAVA_HOME leads nowhere", "env.java_home", WARNING, env={"JAVA_HOME": "/usr/lib/jvm/java-8"}),
    Label("PATH without /usr/bin", "env.path", WARNING, env={"PATH": "/opt/conda/bin"}),
    Label("a token in ENV", "secret.env", WARNING, env={"DATABRICKS_TOKEN": "dapi" + "0" * 32}),
    Label(
        "a password in the history",
        "secret.history",
        WARNING,
        config={"history": [{"created_by": "RUN |1 DB_PASSWORD=hunter22 /bin/sh -c ./load"}]},
    ),
    Label("cloud credentials", "secret.file", WARNING, {"/root/.aws/credentials": b"[default]\naws_secret_access_key = x\n"}),
    Label(
        "a key that a later layer covers",
        "secret.layer",
        WARNING,
        {"/root/.ssh/id_rsa": b"-----BEGIN"},
        later=("/root/.ssh/id_rsa",),
    ),
    Label("CUDA newer than the driver", "cuda.driver", env={"CUDA_VERSION": "12.4.1"}, wanted=Wanted(cuda_driver="470.82.01")),
)

GOOD = (
    Label("plain"),
    Label("strict, with Java", add=JAVA, wanted=STRICT),
    Label("without Python, which nobody needs", remove=("/databricks", "/usr/bin/python3", "/usr/bin/python3.11")),
    Label("packages that fit", add=package("pandas", "2.2.3") | package("pyarrow", "19.0.1", "_generated_version.py")),
    Label("with R", add={"/usr/bin/Rscript": ELF}, wanted=Wanted(languages=frozenset({"python", "r"}))),
    Label("with an entry point", config={"config": {"Entrypoint": ["tini"], "Cmd": ["sleep"], "User": "app"}}),
    Label("names that only sound secret", env={"TOKEN_FILE": "/run/t", "PASSWORD": "", "API_KEY": "<your key>", "PWD": "/"}),
    Label("an empty pip configuration", add={"/etc/pip.conf": b"[global]\nindex-url = https://pypi.example/simple\n"}),
    Label("CUDA that fits", env={"CUDA_VERSION": "12.4.1"}, wanted=Wanted(cuda_driver="550.54.15")),
    Label("Spark 3.5 and its packages", add=package("numpy", "1.26.4", "version.py"), wanted=Wanted(spark="3.5.7")),
)
