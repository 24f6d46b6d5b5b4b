"""What the check says of an image's configuration: variables that change our programs, and what people believe runs.

One of the rooms of `check.py`; pure over an `ImageView`.
"""

from collections.abc import Iterator

from boathouse.images.findings import Finding, ImageView, Kind, info, warning

# Variables of an image that change what our programs do in its containers.
_RISKY = {
    "PYTHONHOME": "every Python then looks for its library there",
    "PYTHONSTARTUP": "every interactive Python then runs it first",
    "LD_LIBRARY_PATH": "Java and Python then load libraries from there first",
    "LD_PRELOAD": "every program then loads it",
    "SPARK_HOME": "the runtime brings its own Spark and sets this variable",
    "JAVA_TOOL_OPTIONS": "every Java then takes these options and says so on its error stream",
    "_JAVA_OPTIONS": "every Java then takes these options and says so on its error stream",
}


def judge(view: ImageView) -> Iterator[Finding]:
    """What the image's ENV, ENTRYPOINT, CMD and USER mean in a cluster."""
    environment = view.config.environment
    for name, effect in _RISKY.items():
        if value := environment.get(name):
            code = f"env.{name.lower().strip('_')}"
            yield warning(code, f"The image sets {name}: {effect}.", f"{name}={value}", f"Leave {name} unset.")
    home = environment.get("JAVA_HOME", "")
    if home and not _has_java(view, home):
        message = "The image sets JAVA_HOME to a place without Java: programs of the image that use it fail."
        yield warning("env.java_home", message, f"JAVA_HOME={home}", "Leave JAVA_HOME unset, or install the JDK that it names.")
    path = environment.get("PATH")
    if path is not None and not {"/usr/bin", "/bin"} & {part.rstrip("/") for part in path.split(":")}:
        yield warning("env.path", "The image's PATH has neither /usr/bin nor /bin.", f"PATH={path}", "Add them to PATH.")
    yield from _ignored(view)


def _has_java(view: ImageView, home: str) -> bool:
    if not home.startswith("/"):
        return False
    found = view.lookup(f"{home.rstrip('/')}/bin/java")
    return found is not None and found.kind is Kind.FILE


def _ignored(view: ImageView) -> Iterator[Finding]:
    config = view.config
    for name, value in (("ENTRYPOINT", config.entrypoint), ("CMD", config.command)):
        if value:
            message = f"{name} is ignored: the platform starts its own programs."
            yield info(f"ignored.{name.lower()}", message, " ".join(value), "Start daemons from an init script.")
    if config.user not in ("", "root", "0", "0:0", "root:root"):
        message = "USER is ignored: commands run as root of the container."
        yield info("ignored.user", message, config.user, "Use sudo or su where a program must not be root.")
