"""Which Maven artifacts a jar holds: the `pom.properties` that Maven writes into it, also those of jars shaded into one.

The central directory is read record by record: a jar of an image may lie about everything, and a library keeps an object for
each of its entries. Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3 and 4.4.
"""

import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from typing import IO

LONGEST_JAR = 1 << 30
IN_MEMORY = 16 << 20
LONGEST_PROPERTIES = 64 << 10
MOST_ARTIFACTS = 2_000
_TAIL = 66_000  # the end record and the longest comment
_POM = re.compile(rb"META-INF/maven/[^/]+/[^/]+/pom\.properties")


class UnreadableJar(ValueError):
    """A jar that breaks a limit or contradicts itself; the message says which."""


Coordinates = tuple[str, str, str]  # group, artifact, version


def artifacts(stream: IO[bytes], size: int) -> tuple[Coordinates, ...]:
    """The artifacts in a jar that can be read once, of this many bytes. Raises UnreadableJar."""
    if size > LONGEST_JAR:
        raise UnreadableJar(f"it is larger than {LONGEST_JAR >> 20} MiB")
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        while block := stream.read(1 << 20):
            file.write(block)
        try:
            return tuple(dict.fromkeys(found for data in _properties(file, size) if (found := _coordinates(data))))
        except (struct.error, zlib.error, OSError):
            raise UnreadableJar("it is damaged") from None


def _properties(file: IO[bytes], size: int) -> Iterator[bytes]:
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        return  # no jar: Java would not read it either
    length, said = struct.unpack_from("<II", tail, at + 12)
    start = max(0, size - _TAIL) + at - length  # something may stand before the archive, such as a script
    if said == 0xFFFFFFFF or start < said:
        raise UnreadableJar("its directory is not where it says, or it is in the zip64 format")
    found: list[tuple[int, int, int]] = []
    for method, packed, place, name in _records(file, start, length):
        if _POM.fullmatch(name):
            found.append((place + start - said, packed, method))
            if len(found) > MOST_ARTIFACTS:
                raise UnreadableJar(f"it holds more than {MOST_ARTIFACTS} artifacts")
    for place, packed, method in found:
        yield _entry(file, place, packed, method)


def _records(file: IO[bytes], start: int, length: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Method, packed size, place and name of every entry."""
    file.seek(start)
    end = start + length
    while file.tell() + 46 <= end:
        head = struct.unpack("<4s6H3I5H2I", file.read(46))
        if head[0] != b"PK\1\2":
            raise UnreadableJar("its directory is damaged")
        name = file.read(head[10])
        file.seek(head[11] + head[12], 1)
        yield head[4], head[8], head[16], name


def _entry(file: IO[bytes], place: int, packed: int, method: int) -> bytes:
    file.seek(place)
    head = struct.unpack("<4s5H3I2H", file.read(30))
    file.seek(head[9] + head[10], 1)
    data = file.read(min(packed, LONGEST_PROPERTIES))
    if method == 0:
        return data
    return zlib.decompressobj(-15).decompress(data, LONGEST_PROPERTIES) if method == 8 else b""


def _coordinates(data: bytes) -> Coordinates | None:
    says: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition("=")
        says[key.strip()] = value.strip()[:200]
    group, artifact, version = says.get("groupId"), says.get("artifactId"), says.get("version")
    return (group, artifact, version) if group and artifact and version else None
