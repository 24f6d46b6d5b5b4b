"""The check that comes before Spark: can a cluster be made of this image, and what will be missing in it?

Pure over an `ImageView`: it looks up and reads, and nothing of the image is ever executed. The launch gives it the
view of a created container, `boathouse image check` those of archives; both get the same findings. Errors are in the
order in which they decide: what makes every other answer meaningless comes first.
"""

from collections.abc import Iterator

from boathouse.images import languages
from boathouse.images.failures import INVALID_OS, TOO_LARGE, quoted
from boathouse.images.findings import CheckReport, Finding, ImageView, JavaFacts, PythonFacts, Severity, Wanted, numbers
from boathouse.images.languages import DATABRICKS_PYTHON, Libc

UNUSABLE = "DOCKER_CONTAINER_CREATION_EXCEPTION"
RULES_VERSION = 2  # raise it when the same image may get other findings
RUNTIME = "/databricks/runtime"
COREUTILS = ("cat", "chmod", "cp", "env", "mkdir", "rm")

# Variables of an image that change what our programs do in its containers.
_RISKY_VARIABLES = {
    "PYTHONHOME": "every Python then looks for its library there",
    "LD_LIBRARY_PATH": "Java and Python then load libraries from there first",
    "LD_PRELOAD": "every program then loads it",
    "SPARK_HOME": "the runtime brings its own Spark and sets this variable",
}
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
    java, about_java = _java(view, libc, wanted)
    python, reason, about_python = _python(view, wanted)
    findings += [*about_java, *about_python]
    if wanted.strict:
        findings += _strict(view, wanted, python)
    findings += [*_environment(view), *_ignored(view)]
    return CheckReport(tuple(findings), python, reason, java, str(libc), languages.r(view))


def _error(code: str, message: str, evidence: str = "", fix: str = "", termination: str = UNUSABLE) -> Finding:
    return Finding(code, Severity.ERROR, message, quoted(evidence), fix, termination)


def _warning(code: str, message: str, evidence: str = "", fix: str = "") -> Finding:
    return Finding(code, Severity.WARNING, message, quoted(evidence), fix)


def _info(code: str, message: str, evidence: str = "", fix: str = "") -> Finding:
    return Finding(code, Severity.INFO, message, quoted(evidence), fix)


def _platform(view: ImageView) -> Iterator[Finding]:
    config = view.config
    if (config.os, config.architecture) != ("linux", "amd64"):
        yield _error(
            "platform.other",
            "The image is not made for linux/amd64.",
            config.platform or "no platform",
            "Build it with --platform linux/amd64.",
            INVALID_OS,
        )


def _size(view: ImageView, wanted: Wanted) -> Iterator[Finding]:
    size = view.size_bytes
    if size is not None and wanted.max_bytes is not None and size > wanted.max_bytes:
        yield _error(
            "size.large",
            "The image does not fit on the node.",
            f"{size / 1e9:.2f} GB unpacked, room for {wanted.max_bytes / 1e9:.2f} GB",
            "Make it smaller, or choose a node type with more disk.",
            TOO_LARGE,
        )


def _shell(view: ImageView, libc: Libc) -> Iterator[Finding]:
    found = languages.program(view, "bash", ["/bin", "/usr/bin"])
    if found is None:
        yield _error(
            "bash.missing",
            "The image has no bash.",
            "neither /bin/bash nor /usr/bin/bash is a program",
            "Install it: apt-get install bash, apk add bash, dnf install bash.",
        )
        return
    made_for = libc.machine or languages.made_for(view.read(found[0], 64))
    if made_for not in ("amd64", "script"):
        yield _error(
            "architecture.other",
            "The image's programs are not made for amd64, whatever its configuration says.",
            f"they are made for {made_for or 'nothing known'}",
            "Build it with --platform linux/amd64.",
            INVALID_OS,
        )


def _c_library(libc: Libc, wanted: Wanted) -> Iterator[Finding]:
    if libc.name == "":
        yield _error(
            "libc.missing",
            "The image has no C library that is known: neither glibc nor musl.",
            "no /lib64/ld-linux-x86-64.so.2, no /lib/ld-musl-x86_64.so.1",
            "Start from a usual base image.",
        )
    elif libc.name == "musl":
        yield _warning(
            "libc.musl",
            "The image uses musl, where wheels and native libraries made for glibc do not load.",
            fix="Prefer a Debian or Ubuntu base; the image's own Java is used.",
        )
    elif libc.version and wanted.glibc and not wanted.strict and numbers(libc.version) < numbers(wanted.glibc):
        yield _error(
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
        yield _error(
            "coreutils.missing",
            "The image lacks programs of coreutils.",
            ", ".join(missing),
            "Install it: apt-get install coreutils, apk add coreutils, dnf install coreutils.",
        )
    elif any(place and place[1].path.endswith("/busybox") for place in found.values()):
        yield _warning(
            "coreutils.busybox", "busybox stands in for coreutils; scripts that use GNU options fail.", fix="apk add coreutils"
        )


def _mount_point(view: ImageView) -> Iterator[Finding]:
    if view.lookup(RUNTIME) is not None:
        yield _error(
            "runtime.occupied",
            f"The image has something at {RUNTIME}, where the runtime is mounted.",
            fix="Remove it from the image: this path belongs to the platform.",
        )


def _java(view: ImageView, libc: Libc, wanted: Wanted) -> tuple[JavaFacts | None, list[Finding]]:
    """The image's Java matters on musl, where the release's JRE does not run, and in strict workspaces."""
    if libc.name != "musl" and not wanted.strict:
        return None, []
    why = "strict workspaces use the image's Java" if wanted.strict else "on musl the image's own Java is used"
    found = languages.java(view)
    usable = ", ".join(map(str, wanted.javas))
    if found is None:
        return None, [
            _error(
                "java.missing",
                f"The image has no Java, and {why}.",
                "no java in JAVA_HOME or PATH",
                f"Install a JDK {wanted.java_major}.",
            )
        ]
    if found.major not in wanted.javas:
        version = f"Java {found.major}" if found.major else "a Java of unknown version"
        return None, [
            _error(
                "java.version",
                f"Spark {wanted.spark} does not run on the image's Java, and {why}.",
                f"{found.path} is {version}; Spark runs on {usable}",
                f"Install a JDK {wanted.java_major}.",
            )
        ]
    return found, [_info("java.used", f"The image's own Java is used: {why}.", f"{found.path}, Java {found.major}")]


def _python(view: ImageView, wanted: Wanted) -> tuple[PythonFacts | None, str, list[Finding]]:
    """No Python is no error (Databricks' `minimal` has none): Python contexts are refused with the reason."""
    found = languages.python(view)
    oldest = ".".join(map(str, wanted.oldest_python))
    at_databricks_place = view.lookup(DATABRICKS_PYTHON) is not None
    if found is None:
        reason = f"The image has no Python: neither {DATABRICKS_PYTHON}/bin/python3 nor a python3 in its PATH."
        fix = f"Install Python {oldest} or later and make {DATABRICKS_PYTHON} a virtual environment of it."
        make = _warning if at_databricks_place else _info
        return None, reason, [make("python.missing", f"{reason} Python commands will be refused.", fix=fix)]
    if not found.version or numbers(found.version)[:2] < wanted.oldest_python:
        version = f"Python {found.version}" if found.version else "a Python of unknown version"
        reason = f"The image's {found.path} is {version}; Spark {wanted.spark} needs {oldest} or later."
        return (
            None,
            reason,
            [_warning("python.version", f"{reason} Python commands will be refused.", fix=f"Install Python {oldest} or later.")],
        )
    findings = [_info("python.found", "Python commands run in the image's own Python.", f"{found.path}, {found.version}")]
    if not found.path.startswith(DATABRICKS_PYTHON):
        findings.append(
            _warning(
                "python.place",
                f"There is no {DATABRICKS_PYTHON}: the python3 of the PATH is used.",
                found.path,
                f"Databricks expects a virtual environment there: virtualenv --system-site-packages {DATABRICKS_PYTHON}.",
            )
        )
    return found, "", findings


def _strict(view: ImageView, wanted: Wanted, python: PythonFacts | None) -> Iterator[Finding]:
    """What Databricks asks of an image beyond our own needs."""
    directories = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"]
    for name, package in _DATABRICKS_TOOLS.items():
        if languages.program(view, name, directories) is None:
            yield _error(
                f"strict.{package}",
                f"Databricks needs {package} in the image, and this workspace is strict.",
                f"no program {name}",
                f"apt-get install {package}",
            )
    if python is not None and not python.path.startswith(DATABRICKS_PYTHON):
        yield _error(
            "strict.python",
            f"Databricks needs {DATABRICKS_PYTHON} in the image, and this workspace is strict.",
            python.path,
            f"virtualenv --system-site-packages {DATABRICKS_PYTHON}",
        )
    name = _distribution(view)
    if name not in ("ubuntu", "alpine"):
        yield _warning(
            "strict.distribution", "Databricks supports Ubuntu, and Alpine as an experiment.", name or "no /etc/os-release"
        )


def _distribution(view: ImageView) -> str:
    try:
        text = view.read("/etc/os-release", 16 << 10).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return next((line[3:].strip("\"' ") for line in text.splitlines() if line.startswith("ID=")), "")


def _environment(view: ImageView) -> Iterator[Finding]:
    environment = view.config.environment
    for name, effect in _RISKY_VARIABLES.items():
        if environment.get(name):
            yield _warning(
                "env." + name.lower(), f"The image sets {name}: {effect}.", f"{name}={environment[name]}", f"Leave {name} unset."
            )
    path = environment.get("PATH")
    if path is not None and not {"/usr/bin", "/bin"} & {part.rstrip("/") for part in path.split(":")}:
        yield _warning("env.path", "The image's PATH has neither /usr/bin nor /bin.", path, "Add them to PATH.")


def _ignored(view: ImageView) -> Iterator[Finding]:
    config = view.config
    for name, value in (("ENTRYPOINT", config.entrypoint), ("CMD", config.command)):
        if value:
            yield _info(f"ignored.{name.lower()}", f"{name} is ignored: the platform starts its own programs.", " ".join(value))
    if config.user not in ("", "root", "0", "0:0", "root:root"):
        yield _info("ignored.user", "USER is ignored: commands run as root of the container.", config.user)
