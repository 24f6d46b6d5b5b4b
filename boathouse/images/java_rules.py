"""What the check says of an image's Java: it matters on musl, where the release's JRE does not run, and in strict workspaces.

One of the rooms of `check.py`; pure over an `ImageView`.
"""

from boathouse.images import languages
from boathouse.images.findings import Finding, ImageView, JavaFacts, Wanted, error, info
from boathouse.images.languages import Libc

#: Below a Java's home: where its machine is. Java 8 has it in `jre` and `amd64`.
_MACHINES = ("lib/server/libjvm.so", "jre/lib/amd64/server/libjvm.so", "lib/amd64/server/libjvm.so")


def judge(view: ImageView, libc: Libc, wanted: Wanted) -> tuple[JavaFacts | None, list[Finding]]:
    """The image's own Java where it is to be used, and what was found about it."""
    if libc.name != "musl" and not wanted.strict:
        return None, []
    why = "strict workspaces use the image's Java" if wanted.strict else "on musl the image's own Java is used"
    found = languages.java(view)
    usable = ", ".join(map(str, wanted.javas))
    fix = f"Install a JDK {wanted.java_major}."
    if found is None:
        evidence = "no java in JAVA_HOME or PATH"
        return None, [error("java.missing", f"The image has no Java, and {why}.", evidence, fix)]
    if found.major not in wanted.javas:
        version = f"Java {found.major}" if found.major else "a Java of unknown version"
        evidence = f"{found.path} is {version}; Spark runs on {usable}"
        return None, [error("java.version", f"Spark {wanted.spark} does not run on the image's Java, and {why}.", evidence, fix)]
    if not any(view.lookup(f"{found.home}/{place}") for place in _MACHINES):
        evidence = f"{found.path} is there, libjvm.so is nowhere below {found.home}"
        return None, [error("java.broken", f"The image's Java is not whole, and {why}.", evidence, fix)]
    return found, [info("java.used", f"The image's own Java is used: {why}.", f"{found.path}, Java {found.major}")]
