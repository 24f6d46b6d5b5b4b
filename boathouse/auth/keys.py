"""Keys of this server, kept as files beside the database and never in it.

A key file is 32 random bytes, mode 0600, and appears whole or not at all: it is written and synced under a temporary
name and then linked to its own, which fails when it exists already; so two processes that start at once agree on one
key."""

import hmac
import os
import secrets
import stat
from pathlib import Path

KEY_BYTES = 32


class KeyFileError(Exception):
    """A key file that cannot be trusted or read; the message says what to do."""


class Keys:
    """The key directory (`DIR/keys`, mode 0700)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._loaded: dict[str, bytes] = {}

    def get(self, name: str) -> bytes:
        """The key `name`, made on first use. Raises KeyFileError for a file that is damaged or open to others."""
        known = self._loaded.get(name)
        if known is None:
            path = self.directory / f"{name}.key"
            if not path.exists():
                self._make(path)
            known = self._loaded[name] = self._read(path)
        return known

    def find(self, name: str) -> bytes | None:
        """The key `name`, or None where there is no such file."""
        if name not in self._loaded and not (self.directory / f"{name}.key").exists():
            return None
        return self.get(name)

    def names(self, prefix: str) -> list[str]:
        """Names of the keys that exist and begin with `prefix`."""
        return sorted(path.name.removesuffix(".key") for path in self.directory.glob(f"{prefix}*.key"))

    def hmac(self, purpose: str, text: str) -> str:
        """HMAC-SHA-256 of `text` under the server key, 64 hex digits. `purpose` keeps one use from standing in for
        another."""
        return hmac.digest(self.get("server"), f"{purpose}\0{text}".encode(), "sha256").hex()

    def _make(self, path: Path) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass  # another process made it first: its key holds
        finally:
            os.unlink(temporary)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, path: Path) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise KeyFileError(f"{path} can be read by others; if nobody did, put it right with: chmod 600 {path}")
            key = file.read(KEY_BYTES + 1)
        if len(key) != KEY_BYTES:
            raise KeyFileError(f"{path} is damaged: {len(key)} bytes in place of {KEY_BYTES}; bring it back from a backup")
        return key
