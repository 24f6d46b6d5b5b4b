"""Image references: one function that understands every form in which an image can be named.

Used wherever a reference enters (API bodies, policies, command line) and before anything is asked of a registry.
Pure. The grammar is that of the distribution project; short names mean Docker Hub, as for `docker pull`.
"""

import ipaddress
import re

import msgspec

DOCKER_HUB = "docker.io"
_HUB_ALIASES = {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "www.docker.io"}
_HUB_API_HOST = "registry-1.docker.io"
LONGEST_NAME = 255
_LONGEST_TEXT = 1024

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGESTS = {"sha256": 64, "sha512": 128}
#: What the name of a track begins with (see `tracks`): no reference does.
TRACK_SCHEME = "track://"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_ECR = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")


class InvalidReference(ValueError):
    """A text that is no image reference: names the field, the value, what is wrong and what would be right."""

    def __init__(self, field: str, value: str, reason: str, fix: str) -> None:
        shown = value if len(value) <= 200 else value[:200] + "…"
        super().__init__(f"{field}: {shown!r} is not an image reference: {reason}. {fix}")
        self.field, self.value, self.reason, self.fix = field, shown, reason, fix


class Reference(msgspec.Struct, frozen=True):
    """A parsed reference in normal form. At least one of `tag` and `digest` is there; where both are, the digest
    decides.
    """

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """`host/repository`."""
        return f"{self.host}/{self.repository}"

    @property
    def api_host(self) -> str:
        """The host (with port) that serves the registry's API: Docker Hub's has another name than its images."""
        return api_host(self.host)

    @property
    def asked(self) -> str:
        """What is asked of the registry: the digest, else the tag."""
        return self.digest or self.tag or "latest"

    @property
    def provider(self) -> str:
        """`docker-hub`, `ecr`, `acr`, `gar` or `other`: only hints to people depend on it."""
        if self.host == DOCKER_HUB:
            return "docker-hub"
        if _ECR.fullmatch(self.host) or self.host == "public.ecr.aws":
            return "ecr"
        if self.host.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us")):
            return "acr"
        if self.host.endswith("-docker.pkg.dev") or self.host == "gcr.io" or self.host.endswith(".gcr.io"):
            return "gar"
        return "other"

    def pinned(self, digest: str) -> str:
        """`host/repository@digest`: the only form that an engine is ever asked to pull."""
        return f"{self.name}@{digest}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def api_host(host: str) -> str:
    """The host (with port) of the API of the registry that images name by `host`."""
    return _HUB_API_HOST if host == DOCKER_HUB else host


def parse(text: str, field: str = "docker_image.url") -> Reference:
    """Read a reference: `image`, `org/repo:tag`, `host:port/repo`, `repo@sha256:...`, `repo:tag@sha256:...`.

    The normal form writes the host out (`docker.io/library/ubuntu:22.04`), host in lower case, and `latest` where
    neither a tag nor a digest is given. Raises InvalidReference.
    """

    def refuse(reason: str, fix: str) -> InvalidReference:
        return InvalidReference(field, text, reason, fix)

    _refuse_what_is_no_text_of_a_name(text, refuse)
    rest, digest = _split_digest(text, refuse)
    rest, tag = _split_tag(rest, refuse)
    host, repository = _split_host(rest)
    if len(repository) > LONGEST_NAME:
        raise refuse(f"its repository has {len(repository)} characters, {LONGEST_NAME} are allowed", "Use a shorter name.")
    host = _checked_host(host, refuse)
    for component in repository.split("/"):
        if _COMPONENT.fullmatch(component):
            continue
        if component == "":
            raise refuse("a part of its name is empty", "Write it as host/repository:tag without double or trailing slashes.")
        if component != component.lower() and _COMPONENT.fullmatch(component.lower()):
            raise refuse(
                f"{component!r} has capital letters",
                f"Repositories are lower case: {text.replace(component, component.lower())}",
            )
        raise refuse(f"{component!r} is no part of a repository's name", "Use a-z, 0-9 and single . _ - between them.")
    if re.fullmatch(r"[0-9a-f]{64}", repository):
        raise refuse(
            "64 hexadecimal digits are an image id, which no registry knows",
            "Name the repository: repository@sha256:<digest>.",
        )
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if tag is None and digest is None:
        tag = "latest"
    return Reference(host, repository, tag, digest)


def is_repository(text: str) -> bool:
    """Whether `text` is a repository's name without a host: `etl/python`."""
    return 0 < len(text) <= LONGEST_NAME and all(_COMPONENT.fullmatch(component) for component in text.split("/"))


def is_tag(text: str) -> bool:
    """Whether `text` is a tag."""
    return _TAG.fullmatch(text) is not None


def _refuse_what_is_no_text_of_a_name(text: str, refuse) -> None:
    if not text:
        raise refuse("it is empty", "Give one, for example docker.io/library/ubuntu:22.04.")
    if len(text) > _LONGEST_TEXT:
        raise refuse(f"it has {len(text)} characters", f"At most {_LONGEST_TEXT} are allowed.")
    if any(character.isspace() for character in text):
        raise refuse("it contains white space", "Remove it.")
    if not text.isascii() or not text.isprintable():
        raise refuse("it contains characters that no reference has", "Use ASCII letters, digits and . _ - / : @.")
    if text.lower().startswith(TRACK_SCHEME):
        raise refuse("it is a track, which no registry knows", "Name an image here; tracks are for docker_image.url of clusters.")
    if scheme := _SCHEME.match(text):
        raise refuse(f"it begins with {scheme.group(0)}", f"Leave that away: {text[scheme.end() :]}")


def _split_digest(text: str, refuse) -> tuple[str, str | None]:
    rest, separator, digest = text.partition("@")
    if not separator:
        return text, None
    algorithm, _, value = digest.partition(":")
    length = _DIGESTS.get(algorithm)
    if length is None:
        raise refuse(f"its digest {digest!r} names no known algorithm", "Write @sha256: and 64 hexadecimal digits.")
    if not re.fullmatch(rf"[0-9a-f]{{{length}}}", value):
        raise refuse(f"its {algorithm} digest is not {length} hexadecimal digits in lower case", "Copy the whole digest.")
    return rest, digest


def _split_tag(text: str, refuse) -> tuple[str, str | None]:
    """The colon of a tag comes after the last slash; one before it belongs to a port."""
    slash, colon = text.rfind("/"), text.rfind(":")
    if colon <= slash:
        return text, None
    rest, tag = text[:colon], text[colon + 1 :]
    if not _TAG.fullmatch(tag):
        raise refuse(
            f"{tag!r} is no tag" if tag else "its tag is empty",
            "A tag has up to 128 letters, digits, _ . - and begins with a letter, a digit or _.",
        )
    return rest, tag


def _split_host(text: str) -> tuple[str, str]:
    """The first part is a host when it has a dot or a colon, or is localhost; else the name is Docker Hub's."""
    first, slash, rest = text.partition("/")
    if slash and (any(sign in first for sign in ".:[") or first.lower() == "localhost"):
        return first.lower(), rest
    return DOCKER_HUB, text


def _checked_host(host: str, refuse) -> str:
    bare, port = host, ""
    if host.startswith("["):
        bare, bracket, after = host[1:].partition("]")
        port = after.removeprefix(":")
        try:
            address = ipaddress.IPv6Address(bare)
        except ValueError:
            raise refuse(f"{host!r} is no IPv6 address in brackets", "Write it as [2001:db8::1]:5000/repository.") from None
        if not bracket or (after and not after.startswith(":")) or "%" in bare:
            raise refuse(f"{host!r} is no host", "Write it as [2001:db8::1]:5000/repository.")
        shown = f"[{address.compressed}]"
    else:
        bare, _, port = host.partition(":")
        shown = bare
        if len(bare) > 253 or not all(_LABEL.fullmatch(label) for label in bare.split(".")):
            raise refuse(f"{bare!r} is no host name", "Write it as registry.example.com[:port]/repository:tag.")
    if ":" in host.rpartition("]")[2]:
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise refuse(f"{port!r} is no port", "A port is a number from 1 to 65535.")
        shown = f"{shown}:{int(port)}"
    return DOCKER_HUB if shown in _HUB_ALIASES else shown
