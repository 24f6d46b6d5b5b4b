"""The data directory: one process at a time, one format, one instance id.

Everything a Boathouse knows lies below it: `boathouse.db`, `keys/`, `nodes/<node_id>/`, `logs/`, `ready.json`. The instance
id names what it launches on an engine that other data directories may share.
"""

import fcntl
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

import msgspec

#: Raised by one when an older Boathouse could not read what a newer one wrote beside the database.
FORMAT = "1"


class DirectoryError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


class DataDirectory:
    """A data directory that exists, belongs to us, and has our format."""

    def __init__(self, path: Path) -> None:
        """Make or open it. Raises DirectoryError when it cannot be written or is of another format."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("keys", "nodes", "logs"):
                (path / name).mkdir(exist_ok=True, mode=0o700)
            self._check_format()
            self.instance = self._instance()
        except OSError as error:
            raise DirectoryError(f"cannot use the data directory {path}: {error.strerror}; choose another with --data") from None
        self._lock: int | None = None

    def _check_format(self) -> None:
        file = self.path / "format"
        if not file.exists():
            write_whole(file, FORMAT.encode(), 0o600)
        found = file.read_text(errors="replace").strip()
        if found != FORMAT:
            raise DirectoryError(
                f"the data directory {self.path} has format {found[:20]!r}, this Boathouse reads {FORMAT!r}; "
                "use the version that wrote it, or another directory"
            )

    def _instance(self) -> str:
        file = self.path / "instance"
        if not file.exists():
            write_whole(file, secrets.token_hex(4).encode(), 0o600)
        found = file.read_text(errors="replace").strip()
        # It names what may be removed from an engine that others use too: a damaged one must not be guessed at.
        if not re.fullmatch(r"[0-9a-f]{8}", found):
            raise DirectoryError(
                f"{file} is damaged: {found[:20]!r} is no instance id (8 hex digits); bring it back from a backup, "
                "or choose another with --data"
            )
        return found

    def lock(self) -> None:
        """Hold the directory until the process ends. Raises DirectoryError naming the process that holds it."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryError(f"cannot lock the data directory {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise DirectoryError(
                f"the data directory {self.path} is in use by process {holder or '?'}; stop it, or choose another with --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> int | None:
        """The process that holds the directory now, or None."""
        try:
            self.lock()
        except DirectoryError:
            text = (self.path / "lock").read_text().strip()
            return int(text) if text.isdigit() else None
        self.unlock()
        return None


def write_whole(file: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, durably, with this mode from its first byte on."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_ready(file: Path, document: dict[str, Any]) -> None:
    """Write a ready file: 0600, whole or not at all."""
    write_whole(file, msgspec.json.format(msgspec.json.encode(document)) + b"\n", 0o600)
