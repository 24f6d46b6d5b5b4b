"""Which lines of a log explain why a process ended; pure. Called when a failure is put into words.

A JVM that ends says why in an exception, among hundreds of lines that do not matter and with dozens of frames that say little.
"""

import re
from collections.abc import Mapping

#: Lines kept at most, frames kept of each stack trace, and lines taken where nothing looks like a cause.
MOST_LINES, FRAMES, LAST_LINES = 24, 3, 8

#: Log4j's pattern of our releases: `26/11/23 16:21:04 INFO SparkContext: ...`.
_ROUTINE = re.compile(r"^\S+ \S+ (INFO|DEBUG|TRACE) ")
_FRAME = re.compile(r"^\s+(at |\.\.\. \d+ more)")
_CAUSE = re.compile(r"(Error|Exception|ERROR|FATAL|Caused by|Traceback|Killed|OutOfMemory|No such file|not found|denied)")
_WARNING = re.compile(r"^\S+ \S+ WARN ")
_NOISE = re.compile(
    r"^WARNING: (Using incubator modules|A terminally deprecated|An illegal reflective|All illegal|Please consider|Use --)"
)

#: Spark names a time or a size that it cannot read by its value alone.
_UNREADABLE = re.compile(r"^.*Failed to parse (time|byte) string: ")

#: What Java says last when it does not take its options, and how the settings end that hold some.
_NO_JAVA, _OPTIONS = "Could not create the Java Virtual Machine", ".extraJavaOptions"


def telling(log: str) -> str:
    """The lines of `log` that explain it, in order: the last cause with what belongs to it; else the end of the log.

    >>> telling("26/01/01 10:00:00 INFO A: fine\\njava.lang.IllegalStateException: no\\n\\tat a.B.c(B.java:1)\\n")
    'java.lang.IllegalStateException: no\\n\\tat a.B.c(B.java:1)'
    """
    lines = [line.rstrip() for line in log.splitlines() if line.strip() and not _NOISE.match(line)]
    kept: list[str] = []
    frames = 0
    for line in lines:
        if _FRAME.match(line):
            frames += 1
            if frames == FRAMES + 1 and kept:
                kept.append("\t...")
            if frames > FRAMES or not kept:
                continue
        else:
            frames = 0
            if _ROUTINE.match(line):
                continue
        kept.append(line)
    if not any(_CAUSE.search(line) for line in kept):
        return "\n".join(lines[-LAST_LINES:])
    return "\n".join(_without_repeats(kept)[-MOST_LINES:])


def blames(evidence: str, settings: Mapping[str, str]) -> bool:
    """Whether the lines that explain why Spark did not start say that one of these settings (`spark_conf`) is at fault: an error
    names its key, or its value as one that cannot be read, or Java does not start with the options that it holds.

    >>> blames("java.lang.NumberFormatException: spark.task.cpus should be int, but was x", {"spark.task.cpus": "x"})
    True
    """
    errors = [line for line in evidence.splitlines() if not _WARNING.match(line)]
    if any(_NO_JAVA in line for line in errors) and any(key.endswith(_OPTIONS) for key in settings):
        return True
    if any(_UNREADABLE.sub("", line).strip() in settings.values() for line in errors if _UNREADABLE.search(line)):
        return True
    named = [re.compile(rf"(?<![\w.]){re.escape(key)}(?![\w.]*\w)") for key in settings]
    return any(pattern.search(line) for pattern in named for line in errors if not _FRAME.match(line))


def _without_repeats(lines: list[str]) -> list[str]:
    """A driver logs its last exception and prints it too: the same block is told once, the later time."""
    for size in range(len(lines) // 2, 1, -1):
        if lines[-size:] == lines[-2 * size : -size]:
            return lines[:-size]
    return lines
