"""Sealed values: text that may lie in the database because the key to it does not.

Envelope encryption with AES-256-GCM: every value has a data key of its own, wrapped by a key-encryption key (KEK) from
the key directory. Both layers are bound to `aad`, which says what the value is (workspace, scope, key, version, ...),
so a sealed value moved to another row does not open. Every sealed value names its KEK: rotation makes a new one and
re-wraps data keys, and values that were not re-wrapped yet stay readable.

    sealed:1:<KEK>:<base64 of nonce and wrapped data key>:<base64 of nonce and ciphertext>
"""

import base64
import json
import re
import secrets
from typing import TYPE_CHECKING

from boathouse.auth.keys import KEY_BYTES, KeyFileError, Keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "sealed:1:"
NONCE_BYTES = 12

_KEK = re.compile(r"kek-[0-9]{4,9}")


class Unsealable(Exception):
    """The value does not open: its KEK is not in the key directory, it was changed, or it is not the one that `aad`
    says."""


class _Changed(Unsealable):
    """It does not open with the key that it names."""


def binding(*parts: str | int) -> str:
    """Many parts as one unambiguous `aad`."""
    return json.dumps(parts, separators=(",", ":"))


def is_sealed(text: str) -> bool:
    """Whether `text` looks like something that `Sealer.seal` made. Never ask it of what a caller sent: seal that."""
    return text.startswith(PREFIX)


class Sealer:
    """Seals and opens values with the KEKs of a key directory (`kek-0001.key`, ...). Safe to use from many threads."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def seal(self, text: str, aad: str) -> str:
        """`text` sealed under the current KEK and bound to `aad`."""
        return self.seal_bytes(text.encode(), aad)

    def unseal(self, sealed: str, aad: str) -> str:
        """What was sealed. Raises Unsealable."""
        return self.unseal_bytes(sealed, aad).decode()

    def seal_bytes(self, value: bytes, aad: str) -> str:
        """As `seal`, for values that are not text."""
        data_key = secrets.token_bytes(KEY_BYTES)
        kek = self.current()
        wrapped = _encrypt(self._kek(kek), data_key, f"data key {kek} {aad}")
        return f"{PREFIX}{kek}:{_b64(wrapped)}:{_b64(_encrypt(data_key, value, aad))}"

    def unseal_bytes(self, sealed: str, aad: str) -> bytes:
        """As `unseal`, for values that are not text."""
        kek, wrapped, ciphertext = _parse(sealed)
        return _decrypt(self._data_key(kek, wrapped, aad), ciphertext, aad)

    def rewrap(self, sealed: str, aad: str) -> str:
        """The same sealed value under the current KEK; the value itself is not opened."""
        kek, wrapped, ciphertext = _parse(sealed)
        now = self.current()
        if kek == now:
            return sealed
        data_key = self._data_key(kek, wrapped, aad)
        return f"{PREFIX}{now}:{_b64(_encrypt(self._kek(now), data_key, f'data key {now} {aad}'))}:{_b64(ciphertext)}"

    def current(self) -> str:
        """The name of the KEK that new values are sealed under: the newest."""
        return max(self._keys.names("kek-"), key=_number, default="kek-0001")

    def new_kek(self) -> str:
        """Make a KEK that everything is sealed under from now on; older ones stay for what they sealed."""
        name = f"kek-{_number(self.current()) + 1:04d}" if self._keys.names("kek-") else "kek-0001"
        self._keys.get(name)
        return name

    def _data_key(self, kek: str, wrapped: bytes, aad: str) -> bytes:
        try:
            return _decrypt(self._kek(kek), wrapped, f"data key {kek} {aad}")
        except _Changed as error:
            raise Unsealable(f"{error}; or {self._keys.directory / kek}.key is not the key that it was sealed under") from None

    def _kek(self, name: str) -> bytes:
        try:
            key = self._keys.get(name) if name == "kek-0001" and not self._keys.names("kek-") else self._keys.find(name)
        except (KeyFileError, OSError) as error:
            raise Unsealable(f"the key {name!r} cannot be used: {error}") from None
        if key is None:
            raise Unsealable(f"the key {name!r} is not in {self._keys.directory}")
        return key


def _number(kek: str) -> int:
    return int(kek.removeprefix("kek-"))


def _cipher(key: bytes) -> "AESGCM":
    # Imported on first use: 50 ms that a start does not need.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _encrypt(key: bytes, value: bytes, aad: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, value, aad.encode())


def _decrypt(key: bytes, sealed: bytes, aad: str) -> bytes:
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad.encode())
    except (InvalidTag, ValueError):
        raise _Changed("the sealed value was changed, or belongs somewhere else") from None


def _parse(sealed: str) -> tuple[str, bytes, bytes]:
    parts = sealed.removeprefix(PREFIX).split(":")
    if not is_sealed(sealed) or len(parts) != 3 or not _KEK.fullmatch(parts[0]):
        raise Unsealable("this is not a sealed value")
    try:
        return parts[0], base64.b64decode(parts[1], validate=True), base64.b64decode(parts[2], validate=True)
    except ValueError:
        raise Unsealable("this is not a sealed value") from None


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
