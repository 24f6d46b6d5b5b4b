"""Images that mean no good, as files: each made for one way to exhaust, to mislead or to escape. Small on disk."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import zstandard

END = b"\0" * 1024
Made = Callable[[Path], Path]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, size, 0o755
    return info


def header(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> bytes:
    return member(name, kind, link, size).tobuf(tarfile.GNU_FORMAT)


def layer(pieces: Iterable[bytes]) -> bytes:
    """A compressed layer of raw blocks."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packed:
        for piece in pieces:
            packed.write(piece)
        packed.write(END)
    return buffer.getvalue()


def sparse(pieces: int) -> Iterable[bytes]:
    """A sparse file in GNU's old format whose map goes on in `pieces` more blocks."""
    first = bytearray(header("sparse", tarfile.GNUTYPE_SPARSE))
    first[482] = 1
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    yield bytes(first)
    for _ in range(pieces):
        yield (b"00000000001\0" * 42).ljust(504, b"\0") + b"\1" + b"\0" * 7
    yield b"\0" * 512


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    return tarfile.TarInfo._create_pax_generic_header(records, kind, "utf-8")  # type: ignore[attr-defined]


def wide_window() -> bytes:
    """A layer in zstd that wants 128 MiB to be unpacked."""
    plan = zstandard.ZstdCompressionParameters(window_log=27, hash_log=10, chain_log=10, search_log=1, strategy=1)
    buffer = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=plan).stream_writer(buffer, closefd=False) as packed:
        packed.write(header("zeros", size=200 << 20))
        for _ in range(200):
            packed.write(b"\0" * (1 << 20))
        packed.write(END)
    return buffer.getvalue()


def with_layers(
    *layers: bytes | Iterable[bytes] | Callable[[], bytes], config: bytes | None = None, platform: str = "amd64"
) -> Made:
    """An OCI folder of these layers: bytes as they are, or pieces to be compressed; made when it is asked for."""

    def make(path: Path) -> Path:
        def packed(each: Any) -> bytes:
            made: Any = each() if callable(each) else each
            return made if isinstance(made, bytes) else layer(made)

        def blob(data: bytes) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            (path / "blobs/sha256" / digest).write_bytes(data)
            return {"digest": f"sha256:{digest}", "size": len(data)}

        (path / "blobs/sha256").mkdir(parents=True)
        told = blob(config or json.dumps({"os": "linux", "architecture": "amd64", "config": {}}).encode())
        manifest = blob(
            json.dumps({"schemaVersion": 2, "config": told, "layers": [blob(packed(each)) for each in layers]}).encode()
        )
        entries = [{**manifest, "platform": {"os": "linux", "architecture": platform}}] * (1 if platform == "amd64" else 2)
        (path / "index.json").write_text(json.dumps({"manifests": entries}))
        (path / "oci-layout").write_text("{}")
        return path

    return make


def file(*pieces: bytes) -> Made:
    """One file of these bytes."""

    def make(path: Path) -> Path:
        path.write_bytes(b"".join(pieces))
        return path

    return make


def truncated() -> bytes:
    whole = layer([header("a", size=1 << 20), bytes(range(256)) * 4096])
    return whole[: len(whole) // 2]


LONG_NAME = header("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=512) + b"n" * 511 + b"\0"
LONG = "{}/" + "/".join(["d" * 200] * 19) + "/{}"
ESCAPES = [header("up", tarfile.SYMTYPE, "../../../../../../tmp"), header("up/written-outside"),
           header("/tmp/written-outside"), header("hard", tarfile.LNKTYPE, "../../../etc/passwd")]  # fmt: skip
DEVICES = [header("dev/sda", tarfile.BLKTYPE), header("dev/mem", tarfile.CHRTYPE), header("bin/bash", tarfile.FIFOTYPE)]
CIRCLE = [header("bin", tarfile.SYMTYPE, "usr/bin"), header("usr/bin", tarfile.SYMTYPE, "../bin")]

#: What is wrong -> the image, the code of a finding that it must have, words of that finding.
IMAGES: dict[str, tuple[Made, str, str]] = {
    "100,000 entries": (with_layers(header(f"usr/d{i % 999}/{i}") for i in range(100_000)), "bash.missing", ""),
    "long names": (with_layers(header(LONG.format("d", i)) for i in range(40_000)), "image.hostile", "names"),
    "deep directories": (with_layers(header(f"{i}/" + "a/" * 2000) for i in range(99)), "image.hostile", "names"),
    "long links": (
        with_layers(header(f"{i}", tarfile.SYMTYPE, "x/" * 2000) for i in range(40_000)), "image.hostile", "names",
    ),
    "files that are covered": (
        with_layers(
            (header(LONG.format("d", i)) for i in range(20_000)), ([header(".wh.d")]),
            (header(LONG.format("e", i)) for i in range(20_000)),
        ),
        "image.hostile", "names",
    ),
    "files that are kept": (with_layers(header(f"root/.a/{i}", size=0) for i in range(40_000)), "bash.missing", ""),
    "large files that are kept": (
        with_layers(header(f"root/.a/{i}", size=7 << 20) + b"x" * (7 << 20) for i in range(20)), "bash.missing", "",
    ),
    "headers for all": (
        with_layers(pax({f"{i}.{j}": "v" * 900 for j in range(99)}, tarfile.XGLTYPE) + header("a") for i in range(999)),
        "image.hostile", "global headers",
    ),
    "a header in a header": (with_layers([LONG_NAME] * 2000 + [header("a")]), "image.hostile", "follow each other"),
    "a large header": (
        with_layers([header("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=300 << 20), *[b"n" * (1 << 20)] * 300]),
        "image.hostile", "larger than",
    ),
    "a map without end": (with_layers(sparse(200_000)), "image.hostile", "sparse"),
    "a newer map without end": (
        with_layers(
            [pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "size": "900000000"}), header("a", size=900 << 20),
                   b"99999999\n", *[b"1\n" * (1 << 19)] * 300]
        ),
        "image.hostile", "sparse",
    ),
    "no number": (
        with_layers([pax({"GNU.sparse.map": "1,x", "GNU.sparse.size": "no"}), header("a")]), "image.unreadable", "damaged",
    ),
    "a size below nothing": (with_layers([pax({"size": "-5120"}), header("a")]), "image.hostile", "below nothing"),
    "a size without end": (with_layers([header("a", size=1 << 60)]), "image.unreadable", "in the middle of a file"),
    "a window of 128 MiB": (with_layers(wide_window), "image.unreadable", "32 MiB"),
    "a bomb": (with_layers([header("a", size=512 << 20), *[b"\0" * (1 << 20)] * 512]), "bash.missing", ""),
    "a layer in xz": (with_layers(b"\xfd7zXZ\x00" + b"\0" * 999), "image.unreadable", "xz"),
    "a truncated layer": (with_layers(truncated), "image.unreadable", "damaged"),
    "noise for a layer": (with_layers(bytes(range(1, 256)) * 99), "image.unreadable", "no tar archive"),
    "paths upwards": (with_layers([header("../../../../tmp/written-outside")]), "image.hostile", "'..'"),
    "links that lead out": (with_layers(layer(ESCAPES)), "bash.missing", ""),
    "devices": (with_layers(layer(DEVICES)), "bash.missing", ""),
    "links in a circle": (with_layers(layer(CIRCLE)), "bash.missing", ""),
    "a large configuration": (
        with_layers(config=b'{"os":[' + b"{}," * 1_390_000 + b"{}]}"), "image.unreadable", "os is not a text",
    ),
    "a larger configuration": (with_layers(config=b" " * (5 << 20)), "image.hostile", "larger than"),
    "a nested configuration": (with_layers(config=b"[" * 500_000), "image.unreadable", "not JSON"),
    "no platform of ours": (with_layers(platform="arm64"), "image.unreadable", "none is for linux/amd64"),
    "600 layers": (with_layers(*[([])] * 600), "image.hostile", "layers"),
    "an archive in xz": (file(b"\xfd7zXZ\x00" + b"\0" * 999), "image.unreadable", "xz"),
    "an archive of long names": (
        file(*[header("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=1 << 19) + b"n" * (1 << 19) + header("a")] * 400),
        "image.unreadable", "no image",
    ),
    "an archive that goes back": (file(pax({"size": "-5120"}), header("a"), END), "image.hostile", "below nothing"),
    "a large manifest": (
        file(header("manifest.json", size=5 << 20), b"[" + b"{}," * (5 << 18), b" " * (5 << 18), END),
        "image.hostile", "larger than",
    ),
}  # fmt: skip
