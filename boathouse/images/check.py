"""The check that comes before Spark: can a cluster be made of this image, and what will be missing in it?

Pure over an `ImageView`: it looks up and reads, and nothing of the image is ever executed. The launch gives it the
view of a created container, `boathouse image check` those of archives; both get the same findings. Errors are in the
order in which they decide: what makes every other answer meaningless comes first.
"""

from collections.abc import Iterator

from boathouse.images import cuda_rules, environment_rules, java_rules, languages, python_rules, secret_rules
from boathouse.images.failures import INVALID_OS, TOO_LARGE, ImageFailure
from boathouse.images.findings import CheckReport, Finding, ImageView, PythonFacts, Wanted, error, numbers, warning
from boathouse.images.languages import DATABRICKS_PYTHON, Libc
from boathouse.images.tree import HostileImage, UnreadableArchive

RULES_VERSION = 5  # raise it when the same image may get other findings
RUNTIME = "/databricks/runtime"
COREUTILS = ("cat", "chmod", "cp", "env", "mkdir", "rm")
#: Docker's storage drivers take no more; Podman takes up to 500.
MOST_LAYERS_ANYWHERE = 127
#: Where Databricks' own runtime has its Spark: images made from a copy of it carry a second one.
_OTHER_SPARK = ("/databricks/spark", "/databricks/jars", "/opt/spark/jars")

# What Databricks' guide and the public validator of images (NVIDIA container-canary, databricks.yaml) ask for.
_DATABRICKS_TOOLS = {"sudo": "sudo", "ps": "procps", "ip": "iproute2", "setfacl": "acl", "curl": "curl", "gpg": "gnupg"}


def check(view: ImageView, wanted: Wanted | None = None) -> CheckReport:
    """All findings about an image. Raises only what the view raises."""
    wanted = wanted or Wanted()
    findings = [*_platform(view), *_size(view, wanted)]
    if any(finding.code == "platform.other" for finding in findings):
        return CheckReport(tuple(findings), python_reason="The image is made for another platform.")
    libc = languages.libc(view)
    findings += _shell(view, libc)
    findings += _c_library(libc, wanted)
    findings += _coreutils(view)
    findings += _mount_point(view)
    java, about_java = java_rules.judge(view, libc, wanted)
    python, reason, about_python = python_rules.judge(view, wanted)
    r = languages.r(view)
    findings += [*about_java, *about_python, *_r(r, wanted)]
    findings += cuda_rules.judge(view, wanted, python_rules.places(view, python))
    if wanted.strict:
        findings += _strict(view, wanted, python)
    findings += [*environment_rules.judge(view), *_other_spark(view), *_layers(view), *secret_rules.judge(view)]
    return CheckReport(tuple(findings), python, reason, java, str(libc), r)


def unreadable(cause: UnreadableArchive) -> CheckReport:
    """The report of what could not be looked at: no image, a damaged one, or one that breaks a limit."""
    hostile = isinstance(cause, HostileImage)
    message = "The image cannot be read safely." if hostile else "This is no image that can be read."
    code = "image.hostile" if hostile else "image.unreadable"
    found = error(code, message, str(cause), "Build the image again, and save it with `docker save` or `skopeo copy`.")
    return CheckReport((found,), python_reason=message)


def refused(cause: ImageFailure) -> CheckReport:
    """The report of what the registry, or the way from it, does not give: what ends a launch before anything is looked at."""
    code = {INVALID_OS: "platform.other", TOO_LARGE: "size.large"}.get(cause.code, "image.pull")
    found = error(code, cause.message, cause.evidence, cause.fix, cause.code)
    return CheckReport((found,), python_reason=cause.message)


def _platform(view: ImageView) -> Iterator[Finding]:
    config = view.config
    if (config.os, config.architecture) != ("linux", "amd64"):
        yield error(
            "platform.other",
            "The image is not made for linux/amd64.",
            config.platform or "no platform",
            "Build it with --platform linux/amd64.",
            INVALID_OS,
        )


def _size(view: ImageView, wanted: Wanted) -> Iterator[Finding]:
    size = view.size_bytes
    if size is not None and wanted.max_bytes is not None and size > wanted.max_bytes:
        yield error(
            "size.large",
            "The image does not fit on the node.",
            f"{size / 1e9:.2f} GB unpacked, room for {wanted.max_bytes / 1e9:.2f} GB",
            "Make it smaller, or choose a node type with more disk.",
            TOO_LARGE,
        )


def _shell(view: ImageView, libc: Libc) -> Iterator[Finding]:
    found = languages.program(view, "bash", ["/bin", "/usr/bin"])
    if found is None:
        yield error(
            "bash.missing",
            "The image has no bash.",
            "neither /bin/bash nor /usr/bin/bash is a program",
            "Install it: apt-get install bash, apk add bash, dnf install bash.",
        )
        return
    made_for = libc.machine or languages.made_for(view.read(found[0], 64))
    if made_for not in ("amd64", "script"):
        yield error(
            "architecture.other",
            "The image's programs are not made for amd64, whatever its configuration says.",
            f"they are made for {made_for or 'nothing known'}",
            "Build it with --platform linux/amd64.",
            INVALID_OS,
        )


def _c_library(libc: Libc, wanted: Wanted) -> Iterator[Finding]:
    if libc.name == "":
        yield error(
            "libc.missing",
            "The image has no C library that is known: neither glibc nor musl.",
            "no /lib64/ld-linux-x86-64.so.2, no /lib/ld-musl-x86_64.so.1",
            "Start from a usual base image.",
        )
    elif libc.name == "musl":
        yield warning(
            "libc.musl",
            "The image uses musl, where wheels and native libraries made for glibc do not load.",
            fix="Prefer a Debian or Ubuntu base; the image's own Java is used.",
        )
    elif libc.version and wanted.glibc and not wanted.strict and numbers(libc.version) < numbers(wanted.glibc):
        yield error(
            "libc.old",
            "The image's C library is older than the runtime's Java needs.",
            f"glibc {libc.version}, {wanted.glibc} is needed",
            "Start from a newer base image.",
        )


def _coreutils(view: ImageView) -> Iterator[Finding]:
    directories = ["/usr/bin", "/bin"]
    found = {name: languages.program(view, name, directories) for name in COREUTILS}
    missing = [name for name, place in found.items() if place is None]
    if missing:
        yield error(
            "coreutils.missing",
            "The image lacks programs of coreutils.",
            ", ".join(missing),
            "Install it: apt-get install coreutils, apk add coreutils, dnf install coreutils.",
        )
    elif any(place and place[1].path.endswith("/busybox") for place in found.values()):
        yield warning(
            "coreutils.busybox", "busybox stands in for coreutils; scripts that use GNU options fail.", fix="apk add coreutils"
        )


def _mount_point(view: ImageView) -> Iterator[Finding]:
    if view.lookup(RUNTIME) is not None:
        yield error(
            "runtime.occupied",
            f"The image has something at {RUNTIME}, where the runtime is mounted.",
            fix="Remove it from the image: this path belongs to the platform.",
        )


def _r(path: str, wanted: Wanted) -> Iterator[Finding]:
    if not path and "r" in wanted.languages:
        yield error("r.missing", "The image has no R.", "no Rscript in its PATH", "Install it: apt-get install r-base-core.")


def _other_spark(view: ImageView) -> Iterator[Finding]:
    for path in _OTHER_SPARK:
        if view.lookup(path) is not None:
            message = "The image brings a Spark of its own, which is not used: the runtime's is mounted beside it."
            yield warning("spark.inside", message, path, "Leave it out of the image.")


def _layers(view: ImageView) -> Iterator[Finding]:
    count = len(view.config.diff_ids)
    if count > MOST_LAYERS_ANYWHERE:
        yield warning(
            "layers.many",
            f"The image has more than {MOST_LAYERS_ANYWHERE} layers, which Docker refuses.",
            f"{count} layers",
            "Join RUN and COPY steps, or build in stages.",
        )


def _strict(view: ImageView, wanted: Wanted, python: PythonFacts | None) -> Iterator[Finding]:
    """What Databricks asks of an image beyond our own needs."""
    directories = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"]
    for name, package in _DATABRICKS_TOOLS.items():
        if languages.program(view, name, directories) is None:
            yield error(
                f"strict.{package}",
                f"Databricks needs {package} in the image, and this workspace is strict.",
                f"no program {name}",
                f"apt-get install {package}",
            )
    if python is not None and not python.path.startswith(DATABRICKS_PYTHON):
        yield error(
            "strict.python",
            f"Databricks needs {DATABRICKS_PYTHON} in the image, and this workspace is strict.",
            python.path,
            f"virtualenv --system-site-packages {DATABRICKS_PYTHON}",
        )
    name = _distribution(view)
    if name not in ("ubuntu", "alpine"):
        yield warning(
            "strict.distribution",
            "Databricks supports Ubuntu, and Alpine as an experiment.",
            name or "no /etc/os-release",
            "Start from Ubuntu, as Databricks' own images do.",
        )


def _distribution(view: ImageView) -> str:
    try:
        text = view.read("/etc/os-release", 16 << 10).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return next((line[3:].strip("\"' ") for line in text.splitlines() if line.startswith("ID=")), "")
