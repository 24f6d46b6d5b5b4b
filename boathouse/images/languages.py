"""The languages and libraries inside an image: its C library, its Python, its Java, found without running any of them.

Called by `check.py`, which judges what is found here. Pure over an `ImageView`.
"""

import re
import struct

import msgspec

from boathouse.images.findings import Entry, ImageView, JavaFacts, Kind, PythonFacts, numbers

DATABRICKS_PYTHON = "/databricks/python3"
X86_64 = 62
ELF_MACHINES = {3: "i386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64le", 22: "s390x"}
_GLIBC_LOADERS = ("/lib64/ld-linux-x86-64.so.2",)
_GLIBC_FILES = (
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
)
_MUSL_LOADERS = ("/lib/ld-musl-x86_64.so.1",)
_GLIBC_VERSION = re.compile(rb"GNU C Library[^\n]{0,120}? version (\d+\.\d+)")
_LIBC_LIMIT = 8 << 20
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MINORS = range(20, 4, -1)


class Libc(msgspec.Struct, frozen=True):
    """`name` is `glibc`, `musl` or empty; of a glibc its `version` and `machine` (`amd64`), where they could be read."""

    name: str
    version: str = ""
    machine: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


def libc(view: ImageView) -> Libc:
    """Which C library the image's programs use, by its loader."""
    if any(view.lookup(path) for path in _GLIBC_LOADERS):
        return _glibc(view)
    if any(view.lookup(path) for path in _MUSL_LOADERS):
        return Libc("musl")
    return Libc("")


def _glibc(view: ImageView) -> Libc:
    """One read tells version and machine: over an engine each read costs more than all look-ups."""
    for path in _GLIBC_FILES:
        entry = view.lookup(path)
        if entry is None or entry.kind is not Kind.FILE:
            continue
        data = view.read(path, _LIBC_LIMIT)
        named = re.search(r"libc-(\d+\.\d+)\.so$", entry.path)
        said = _GLIBC_VERSION.search(data)
        version = named.group(1) if named else said.group(1).decode() if said else ""
        return Libc("glibc", version, made_for(data))
    return Libc("glibc")


def made_for(head: bytes) -> str:
    """The processor that a program is made for (`amd64`), by its first bytes; `script` with `#!`, empty where it is
    none.
    """
    if head[:2] == b"#!":
        return "script"
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return ""
    order = ">" if head[5] == 2 else "<"
    (number,) = struct.unpack_from(f"{order}H", head, 18)
    if number == X86_64 and head[4] != 2:
        return "x32"
    return ELF_MACHINES.get(number, f"machine {number}")


def search_path(view: ImageView) -> list[str]:
    """The directories of the image's PATH, absolute ones alone; the usual ones where it has none."""
    text = view.config.environment.get("PATH") or _DEFAULT_PATH
    return [part.rstrip("/") or "/" for part in text.split(":") if part.startswith("/")][:64]


def program(view: ImageView, name: str, directories: list[str]) -> tuple[str, Entry] | None:
    """The first executable of that name: the path it is found by, and where it really is."""
    for directory in directories:
        path = f"{directory}/{name}".replace("//", "/")
        entry = view.lookup(path)
        if entry is not None and entry.executable:
            return path, entry
    return None


def python(view: ImageView) -> PythonFacts | None:
    """The image's Python: the one at Databricks' place, else the `python3` of its PATH. Its version may be empty."""
    home = f"{DATABRICKS_PYTHON}/bin"
    for directories in ([home], search_path(view)):
        found = program(view, "python3", directories) or program(view, "python", directories if directories == [home] else [])
        if found:
            path, entry = found
            prefix = path.rpartition("/bin/")[0]
            configured = venv_configuration(view, prefix)
            version = _venv_version(configured) or _version_by_name(entry.path) or _version_by_library(view, entry.path)
            return PythonFacts(path, version, bool(configured))
    return None


def venv_configuration(view: ImageView, prefix: str) -> dict[str, str]:
    """What `pyvenv.cfg` of a virtual environment says, keys in lower case; empty where there is none."""
    path = f"{prefix}/pyvenv.cfg"
    entry = view.lookup(path)
    if entry is None or entry.kind is not Kind.FILE:
        return {}
    text = view.read(path, 16 << 10).decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _venv_version(configured: dict[str, str]) -> str:
    """`version = 3.11.2` (venv) or `version_info = 3.11.2.final.0` (virtualenv)."""
    found = re.match(r"\d+\.\d+(?:\.\d+)?", configured.get("version") or configured.get("version_info") or "")
    return found.group() if found else ""


def _version_by_name(path: str) -> str:
    found = re.search(r"/python(3\.\d+)$", path)
    return found.group(1) if found else ""


def _version_by_library(view: ImageView, path: str) -> str:
    """By the standard library beside a program that carries no number in its name."""
    prefix = path.rpartition("/bin/")[0]
    for minor in _MINORS:
        if view.lookup(f"{prefix}/lib/python3.{minor}/os.py"):
            return f"3.{minor}"
    return ""


def r(view: ImageView) -> str:
    """The path of the image's `Rscript`, by its PATH; empty where it has no R."""
    found = program(view, "Rscript", search_path(view))
    return found[0] if found else ""


def java(view: ImageView) -> JavaFacts | None:
    """The image's own Java: JAVA_HOME's, else the `java` of its PATH; its version by the file `release` of its home."""
    home = view.config.environment.get("JAVA_HOME", "").rstrip("/")
    places = [f"{home}/bin"] if home.startswith("/") else []
    found = program(view, "java", places + search_path(view))
    if found is None:
        return None
    path, entry = found
    base = entry.path.rpartition("/bin/")[0]
    for candidate in (base, base.removesuffix("/jre")):
        release = view.lookup(f"{candidate}/release")
        if release is not None and release.kind is Kind.FILE:
            text = view.read(f"{candidate}/release", 16 << 10).decode("utf-8", "replace")
            if said := re.search(r'^JAVA_VERSION="([^"]{1,40})"', text, re.MULTILINE):
                return JavaFacts(path, _major(said.group(1)), candidate)
    named = re.search(r"(?:java|jdk|jre|zulu)-?(\d{1,2})(?:\D|$)", base)
    return JavaFacts(path, int(named.group(1)) if named else 0, base)


def _major(version: str) -> int:
    """`17.0.9` is 17, `1.8.0_392` is 8."""
    first, second, *_ = (*numbers(version), 0, 0)
    return second if first == 1 and second else first
