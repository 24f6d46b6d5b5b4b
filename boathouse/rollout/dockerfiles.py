"""Which images a build of a user's may begin with. Pure; asked before the engine is.

The engine keeps images of everybody: those that were pulled for others, with their logins, stand under names of its own. A
Dockerfile that names one would read it without its registry being asked. So what FROM, `--from` and `--mount` name must be plain
to see; what only looks like an instruction (a line of a heredoc) is held to the same.
"""

import re
from collections.abc import Iterator

from boathouse.images import references
from boathouse.images.references import InvalidReference

#: The host of names that only the engine of this machine knows: images of the platform, and those that were pulled for others.
OWN_HOST = "localhost"
#: Where the engine keeps what was pulled for launches.
PULLED = "boathouse/pulled"

_S = r"[^\S\n]"
_COMMENT = re.compile(rf"^{_S}*#.*$\n?", re.MULTILINE)
_CONTINUED = re.compile(rf"\\{_S}*\n(?:{_S}*\n)*")
_ESCAPE = re.compile(rf"^{_S}*#{_S}*escape{_S}*={_S}*([^\s\\])", re.MULTILINE | re.IGNORECASE)
_INSTRUCTION = re.compile(rf"^{_S}*(?:ONBUILD{_S}+)?(FROM|COPY|ADD|RUN){_S}+((?:--\S+{_S}+)*)(\S+)", re.MULTILINE | re.IGNORECASE)
_NAMED = re.compile(r"\bfrom=([^,\s]+)", re.IGNORECASE)
#: Forms in which builders take an image from somewhere else than a registry.
_TRANSPORTS = (
    "containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci", "oci-archive", "ostree", "sif", "tarball",
)  # fmt: skip
_IDENTIFIER = re.compile(r"(?:sha256:)?[0-9a-f]+", re.IGNORECASE)


def violations(text: str) -> Iterator[str]:
    """What a Dockerfile may not begin with, or copy from: a sentence each."""
    if (escape := _ESCAPE.search(_unified(text))) is not None:
        yield f"its directive escape={escape[1]} is not allowed; continue lines with \\"
        return
    stages = 0
    for found in _instructions(text):
        if found[1].upper() == "FROM":
            stages += 1
            yield from _image(found[3])
            continue
        for flag in found[2].split():
            name = flag.partition("=")[0]
            hidden = name if name.lower() not in ("--from", "--mount") else flag
            if "$" in hidden or any(sign in flag for sign in "\"'\\"):
                yield f"{flag[:200]} is not allowed; write it without variables, quotes and backslashes"
                continue
            for one in _NAMED.findall(flag):
                if not (one.isdecimal() and int(one[:6]) < stages):
                    yield from _image(one)


def names_local(text: str) -> bool:
    """Whether it begins with an image, or takes files of one, that no registry has: one of this platform's bases, say."""
    return any(
        name.lower().startswith(f"{OWN_HOST}/")
        for found in _instructions(text)
        for name in ([found[3]] if found[1].upper() == "FROM" else _NAMED.findall(found[2]))
    )


def _instructions(text: str) -> Iterator[re.Match[str]]:
    return _INSTRUCTION.finditer(_CONTINUED.sub("", _COMMENT.sub("", _unified(text))))


def _unified(text: str) -> str:
    return text.lstrip("\ufeff").replace("\r\n", "\n")


def _image(name: str) -> Iterator[str]:
    shown = f"the image {name[:200]!r} is not allowed"
    repository = name.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    if "$" in repository or any(sign in name for sign in "\"'\\"):
        yield f"{shown}; write it out: a variable may stand for its tag alone"
    elif _IDENTIFIER.fullmatch(name) or name.partition(":")[0].lower() in _TRANSPORTS:
        yield f"{shown}; name it as registries do (and stages not like ids)"
    else:
        try:
            parsed = references.parse(f"{repository.lower()}:x", "FROM")
        except InvalidReference as error:
            yield str(error)
            return
        if f"{parsed.repository}/".startswith(f"{PULLED}/"):
            yield f"{shown}: it was pulled for others; name it as its registry does"
