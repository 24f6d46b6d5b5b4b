"""The configuration of an image (`config` blob): what it says of itself, typed and bounded.

Read from registries, archives and engines, by whoever has the bytes; the check judges it. Pure.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

MOST_ENTRIES = 10_000
MANIFEST_LIMIT = 4 << 20  # bytes; the distribution project's own limit
CONFIG_LIMIT = 4 << 20  # bytes; what other clients take
#: In the kinds of layers whose bytes are elsewhere, at an address that the image's author chose.
FOREIGN = ("foreign", "nondistributable")


class MalformedConfig(ValueError):
    """The bytes are no image configuration; the message says why, without repeating them."""


class ImageConfig(msgspec.Struct, frozen=True):
    """What an image says of itself. `env` keeps order and the last of repeated names, as container engines do; `history` has
    the commands that made it."""

    os: str
    architecture: str
    variant: str = ""
    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    diff_ids: tuple[str, ...] = ()
    created: str = ""
    history: tuple[str, ...] = ()

    @property
    def platform(self) -> str:
        """`linux/amd64`, with the variant where there is one."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.env)


def parse(data: bytes) -> ImageConfig:
    """Read a configuration in OCI's or Docker's form (they agree in what we use)."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedConfig("it is not JSON") from None
    if not isinstance(document, dict):
        raise MalformedConfig("it is not a JSON object")
    return from_document(document)


def from_document(document: Mapping[str, Any]) -> ImageConfig:
    """The same from decoded JSON; MalformedConfig names the field that is not as it must be."""
    inner = document.get("config") or {}
    rootfs = document.get("rootfs") or {}
    if not isinstance(inner, dict) or not isinstance(rootfs, dict):
        raise MalformedConfig("config or rootfs is not an object")
    env: dict[str, str] = {}
    for entry in _texts(inner, "Env"):
        name, _, value = entry.partition("=")
        env.pop(name, None)
        env[name] = value
    labels = inner.get("Labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise MalformedConfig("config.Labels is not an object of texts")
    return ImageConfig(
        os=_text(document, "os"),
        architecture=_text(document, "architecture"),
        variant=_text(document, "variant"),
        env=tuple(env.items()),
        entrypoint=_texts(inner, "Entrypoint"),
        command=_texts(inner, "Cmd"),
        user=_text(inner, "User"),
        working_dir=_text(inner, "WorkingDir"),
        labels=tuple(sorted(labels.items())),
        diff_ids=_texts(rootfs, "diff_ids"),
        created=_text(document, "created"),
        history=_history(document),
    )


def _history(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The commands that made the image, oldest first; steps that do not say are empty."""
    steps = document.get("history") or []
    if not isinstance(steps, list) or len(steps) > MOST_ENTRIES or not all(isinstance(step, dict) for step in steps):
        raise MalformedConfig("history is not a list of objects")
    return tuple(_text(step, "created_by") for step in steps)


def _text(document: Mapping[str, Any], field: str) -> str:
    value = document.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedConfig(f"{field} is not a text")
    return value


def _texts(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = document.get(field)
    if value is None:
        return ()
    if isinstance(value, str):  # very old builders wrote a bare command
        return (value,)
    if not isinstance(value, list) or len(value) > MOST_ENTRIES or not all(isinstance(entry, str) for entry in value):
        raise MalformedConfig(f"{field} is not a list of texts")
    return tuple(value)
