"""Files that the control plane puts into /run/boathouse (tmpfs, shared with the customer's container).

Root of the customer's container can change that folder at any time: link names elsewhere, put a pipe in the place of a
file. So nothing here follows a link, and nothing is opened that was not made here a moment ago.
"""

from __future__ import annotations

import binascii
import os

from faults import Fault, field

RESERVED = ("launcher.sock", "node.sock")


def relative_parts(root: str, path: str) -> list:
    """The parts of a path under `root`, given absolute or relative to it; Fault for anything that could lead out."""
    inside = path[len(root) :].lstrip("/") if path.startswith(root + "/") else path
    parts = inside.split("/")
    if inside.startswith("/") or any(p in ("", ".", "..") or "\0" in p or len(p) > 255 for p in parts) or len(parts) > 16:
        raise Fault("bad_params", f"path: {path[:300]!r} is not a path under {root}")
    if parts[0] in RESERVED:
        raise Fault("bad_params", f"path: {parts[0]} belongs to the daemon")
    return parts


def _folder(root: str, parts: list, make: bool) -> int:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            if make:
                try:
                    os.mkdir(part, 0o755, dir_fd=fd)
                except FileExistsError:
                    pass
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _put(root: str, parts: list, mode: int, data: bytes) -> None:
    folder = _folder(root, parts[:-1], make=True)
    try:
        draft = ".{}.{}".format(parts[-1][:200], binascii.hexlify(os.urandom(8)).decode("ascii"))
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            os.fchmod(fd, mode)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.rename(draft, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(draft, dir_fd=folder)
            raise
        finally:
            os.close(fd)
    finally:
        os.close(folder)


def put_files(root: str, params: dict) -> dict:
    """`put_files {files: [{path, mode, data}]}`: each file whole or not at all; `data` is base64, `mode` an integer."""
    planned = []
    for entry in field(params, "files", list):
        if not isinstance(entry, dict):
            raise Fault("bad_params", "files: expected objects")
        try:
            data = binascii.a2b_base64(field(entry, "data", str).encode("ascii"))
        except ValueError as error:
            raise Fault("bad_params", f"data: {error}") from None
        planned.append((relative_parts(root, field(entry, "path", str)), field(entry, "mode", int, 0o600) & 0o777, data))
    for parts, mode, data in planned:
        try:
            _put(root, parts, mode, data)
        except OSError as error:
            raise Fault("put_failed", "{}: {}".format("/".join(parts), error.strerror)) from None
    return {}


def remove_files(root: str, params: dict) -> dict:
    """`remove_files {paths}`: a file that is not there is removed already."""
    planned = [relative_parts(root, str(path)) for path in field(params, "paths", list)]
    for parts in planned:
        try:
            folder = _folder(root, parts[:-1], make=False)
            try:
                os.unlink(parts[-1], dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Fault("remove_failed", "{}: {}".format("/".join(parts), error.strerror)) from None
    return {}
