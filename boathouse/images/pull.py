"""What an engine's words about a failed pull mean: one of the API's termination codes, and what to do about it.

An engine reports failures as text that differs between engines and versions. Called by the launch when a pull has
failed; pure. Order matters: the first pattern that fits is taken, the particular ones before the general ones.
"""

import re

import msgspec

from boathouse.images.failures import ImageFailure, PullFailure, TooLarge, WrongPlatform, quoted


class _Meaning(msgspec.Struct, frozen=True):
    pattern: re.Pattern[str]
    failure: type[ImageFailure]
    message: str
    fix: str


def _means(pattern: str, failure: type[ImageFailure], message: str, fix: str) -> _Meaning:
    return _Meaning(re.compile(pattern, re.IGNORECASE), failure, message, fix)


_MEANINGS = (
    _means(
        r"no space left|disk quota exceeded|not enough space",
        TooLarge,
        "The image does not fit on the node's disk",
        "Make it smaller, or free disk space; `boathouse doctor` shows what is free.",
    ),
    _means(
        r"no (matching manifest|image found) .*(platform|architecture|manifest list)|exec format error|"
        r"image operating system .* cannot be used|does not match the specified platform",
        WrongPlatform,
        "The image is not made for linux/amd64",
        "Build it with --platform linux/amd64.",
    ),
    _means(
        r"too ?many ?requests|\b429\b|rate limit",
        PullFailure,
        "The registry refuses because it was asked too often (429 Too Many Requests)",
        "Try again later; logging in (docker_image.basic_auth) raises Docker Hub's limit.",
    ),
    _means(
        r"unauthorized|authentication required|incorrect username or password|no basic auth credentials|\b401\b",
        PullFailure,
        "The registry refuses the user and password (401)",
        "Check docker_image.basic_auth.",
    ),
    _means(
        r"denied|forbidden|\b403\b",
        PullFailure,
        "The registry does not let this user read the image (403)",
        "Give the user the right to read the repository.",
    ),
    _means(
        r"digest .*(did not|does not|doesn't) match|digest mismatch|verification failed|invalid checksum|"
        r"unexpected (digest|checksum)",
        PullFailure,
        "What arrived does not have the digest it must have",
        "Its bytes were changed on the way or in the registry: push it again.",
    ),
    _means(
        r"manifest unknown|name unknown|not ?found|does not exist|no such (image|manifest)|\b404\b",
        PullFailure,
        "The image or one of its layers does not exist on the registry any more (404)",
        "Push it again, or correct the reference.",
    ),
    _means(
        r"unexpected eof|short (read|copy)|truncated|happened during read|connection reset|broken pipe|content.?length",
        PullFailure,
        "The registry stopped sending in the middle of a layer",
        "Try again, or ask the registry's operator.",
    ),
    _means(
        r"stalled|not finished after|timeout|timed out|deadline exceeded",
        PullFailure,
        "The registry stopped answering",
        "Try again, or ask the registry's operator.",
    ),
    _means(
        r"x509|certificate|tls:|http response to https client",
        PullFailure,
        "The engine has no trusted connection with the registry",
        "Name its authority (registry_ca_file), or allow plain HTTP for it (registry_plain_http_hosts).",
    ),
    _means(
        r"no such host|server misbehaving|connection refused|no route to host|network is unreachable",
        PullFailure,
        "The engine does not reach the registry",
        "Check the registry's name, and that the engine's machine reaches it.",
    ),
    _means(
        r"\b50[0-9]\b|internal server error|bad gateway|service unavailable|gateway timeout",
        PullFailure,
        "The registry is in trouble (5xx)",
        "Try again later, or ask its operator.",
    ),
    _means(
        r"gzip|zstd|invalid (tar|header)|archive/tar|applylayer|untar",
        PullFailure,
        "A layer of the image is damaged",
        "Build and push the image again.",
    ),
)


def classify(words: str, pinned: str, secrets: tuple[str, ...] = ()) -> ImageFailure:
    """The failure that an engine's words stand for. `pinned` is what it was to pull; `secrets` never appear in the
    outcome.
    """
    evidence = quoted(words.replace(pinned, "the image"), secrets)
    for meaning in _MEANINGS:
        if meaning.pattern.search(evidence):
            return meaning.failure(f"{meaning.message}: {pinned}.", meaning.fix, evidence)
    return PullFailure(f"The engine could not pull {pinned}.", "`boathouse doctor` looks at the engine.", evidence)
