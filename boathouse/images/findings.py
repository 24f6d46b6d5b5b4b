"""What the check of an image speaks of: what it looks through, what it is told, what it finds. No rules here."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

import msgspec

from boathouse.images.failures import quoted
from boathouse.images.image_config import ImageConfig

UNUSABLE = "DOCKER_CONTAINER_CREATION_EXCEPTION"


class Kind(StrEnum):
    """What is at a path, links followed."""

    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


class Entry(msgspec.Struct, frozen=True):
    """A file of an image. `path` is where it really is, after links; `mode` its permission bits; `size` in bytes."""

    path: str
    kind: Kind
    mode: int = 0o755
    size: int = 0

    @property
    def executable(self) -> bool:
        return self.kind is Kind.FILE and bool(self.mode & 0o111)


class ImageView(Protocol):
    """Eyes on an image that cannot touch it. Paths are absolute; links are followed inside the image alone."""

    @property
    def config(self) -> ImageConfig: ...

    @property
    def size_bytes(self) -> int | None:
        """All layers unpacked, where the view knows."""
        ...

    @property
    def buried(self) -> frozenset[str]:
        """Files that a layer still holds although a later one took them away; empty where the view cannot know."""
        ...

    def lookup(self, path: str) -> Entry | None:
        """What is there, or None: nothing, a link that leads nowhere or in circles."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a file; FileNotFoundError where there is none."""
        ...


class Wanted(msgspec.Struct, frozen=True):
    """What the image is to be used for.

    `spark`: version of the runtime's Spark. `glibc`: oldest C library that the runtime's JRE runs on. `java_major`:
    the Java that this Spark needs, when the image must bring it. `max_bytes`: room for the image, unpacked. `strict`:
    refuse whatever Databricks would refuse, and use the image's Java. `languages` (of LANGUAGES): those it must have.
    `cuda_driver`: version of the node's NVIDIA driver (`550.54.15`), empty on a node without a GPU; `compute_capability` that of
    its GPU (`8.6`), empty where it is not known.
    """

    spark: str = "4.0"
    glibc: str = ""
    java_major: int = 17
    max_bytes: int | None = None
    strict: bool = False
    languages: frozenset[str] = frozenset()
    cuda_driver: str = ""
    compute_capability: str = ""

    @property
    def oldest_python(self) -> tuple[int, int]:
        """PySpark 4 asks for Python 3.9, PySpark 3.5 for 3.8."""
        return (3, 9) if numbers(self.spark) >= (4,) else (3, 8)

    @property
    def javas(self) -> tuple[int, ...]:
        """Java versions that this Spark runs on (Spark's own documentation)."""
        return (17, 21) if numbers(self.spark) >= (4,) else (8, 11, 17)


#: Languages that an image may have or lack; SQL and Scala need nothing of it.
LANGUAGES = ("python", "r")


class Severity(StrEnum):
    """ERROR: the image is refused. WARNING: it starts, and something may break. INFO: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found. `code` is stable (`bash.missing`); an error has the API's `termination_code`."""

    code: str
    severity: Severity
    message: str
    evidence: str = ""
    fix: str = ""
    termination_code: str = ""

    @property
    def text(self) -> str:
        """Message, evidence and fix in one line."""
        shown = f" ({self.evidence})" if self.evidence else ""
        return f"{self.message}{shown}{' ' + self.fix if self.fix else ''}"


def error(code: str, message: str, evidence: str = "", fix: str = "", termination: str = UNUSABLE) -> Finding:
    """What refuses the image. `evidence` may be the image's own words."""
    return Finding(code, Severity.ERROR, message, quoted(evidence), fix, termination)


def warning(code: str, message: str, evidence: str = "", fix: str = "") -> Finding:
    """What may break later."""
    return Finding(code, Severity.WARNING, message, quoted(evidence), fix)


def info(code: str, message: str, evidence: str = "", fix: str = "") -> Finding:
    """What is worth knowing."""
    return Finding(code, Severity.INFO, message, quoted(evidence), fix)


class PythonFacts(msgspec.Struct, frozen=True):
    """The Python that runs commands: the path to start it by, its version (`3.11` or `3.11.2`)."""

    path: str
    version: str
    virtual_environment: bool = False


class JavaFacts(msgspec.Struct, frozen=True):
    """The image's own Java, where it is to be used: the path of its `java`, its major version, its home."""

    path: str
    major: int
    home: str = ""


class CheckReport(msgspec.Struct, frozen=True):
    """Everything that was found. `python` None: Python contexts are refused with `python_reason`. `java` None: the
    release's own JRE is used. `libc`: `glibc 2.36`, `musl` or empty. `r`: the path of the image's Rscript, empty without R.
    """

    findings: tuple[Finding, ...]
    python: PythonFacts | None = None
    python_reason: str = ""
    java: JavaFacts | None = None
    libc: str = ""
    r: str = ""

    @property
    def ok(self) -> bool:
        """Whether a cluster can be made of the image."""
        return self.first_failure is None

    @property
    def first_failure(self) -> Finding | None:
        """The error that decides, in the order of the rules."""
        return next(self.of(Severity.ERROR), None)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(self.of(Severity.WARNING))

    def of(self, severity: Severity) -> Iterator[Finding]:
        """The findings of one severity, in order."""
        return (finding for finding in self.findings if finding.severity is severity)


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `4.0.1-rc1` is (4, 0, 1)."""
    found: list[int] = []
    for part in version.split("."):
        digits = part[: next((i for i, sign in enumerate(part) if not sign.isdigit()), len(part))]
        if not digits:
            break
        found.append(int(digits[:6]))
        if digits != part:
            break
    return tuple(found)
