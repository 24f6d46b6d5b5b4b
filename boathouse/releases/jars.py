"""Rewrites jars so that the class-data archive takes their classes; writes jars byte for byte the same each time.

The JVM leaves the classes of signed jars out of its archives; the signatures of the few signed ones that Spark brings
mean nothing to Spark. Works on files only.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

_SIGNATURE = re.compile(r"META-INF/(?:[^/]+\.(?:SF|RSA|DSA|EC)|SIG-[^/]+)", re.IGNORECASE)
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first instant that a zip file can hold."""


def is_signed(jar: Path) -> bool:
    """Whether the jar carries a signature that the JVM would look at."""
    with zipfile.ZipFile(jar) as archive:
        return any(_SIGNATURE.fullmatch(name) for name in archive.namelist())


def strip_signatures(jar: Path, into: Path) -> None:
    """Writes the jar without its signatures and without the digests of its entries in the manifest."""
    with zipfile.ZipFile(jar) as archive:
        entries: dict[str, bytes] = {}
        for name in archive.namelist():
            if _SIGNATURE.fullmatch(name):
                continue
            content = archive.read(name)
            entries[name] = main_section(content) if name == "META-INF/MANIFEST.MF" else content
    write(into, entries)


def main_section(manifest: bytes) -> bytes:
    """The manifest up to its first blank line: the sections after it hold one digest for each signed entry."""
    head = re.split(rb"\r?\n\r?\n", manifest, maxsplit=1)[0]
    return head.rstrip(b"\r\n") + b"\r\n\r\n"


def write(jar: Path, entries: Mapping[str, bytes]) -> None:
    """Writes a jar with these entries: manifest first, then by name, all with the same time and mode."""
    names = sorted(entries, key=lambda name: (name != "META-INF/MANIFEST.MF", name))
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o40755 << 16) | 0x10 if name.endswith("/") else 0o100644 << 16
            info.create_system = 3
            archive.writestr(info, entries[name])
