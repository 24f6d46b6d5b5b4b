"""Reading and writing an object of a cloud as somebody: the credential is one that the operator's settings name for the location,
kept in a secret scope that the principal may read."""

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Protocol

from boathouse.workspace.clouds.places import CloudError, CloudSettings, Place, S3Options, parse
from boathouse.workspace.references import SecretDenied, SecretError, SecretMissing, Secrets

SCHEMES = ("s3", "s3a", "s3n", "abfss", "gs")

#: The keys that a scope may have, by cloud.
KEYS = {
    "s3": ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region"),
    "abfss": ("azure_account_key", "azure_sas_token"),
    "gs": ("gcs_service_account_json",),
}


class Client(Protocol):
    """One cloud with one credential: `S3`, `Azure`, `Gcs`. What it raises is a CloudError."""

    def read(self, place: Place, limit: int) -> tuple[int, Iterator[bytes]]:
        """Size and content of an object; whoever asks refuses what is larger than `limit` bytes."""
        ...

    def write(self, place: Place, file: IO[bytes], size: int) -> None:
        """Write an object of `size` bytes, whole or not at all."""
        ...


class CloudStore:
    """All clouds. One for the control plane; any thread."""

    def __init__(self, secrets: Secrets, settings: CloudSettings) -> None:
        self._secrets, self._settings = secrets, settings

    def read(self, location: str, workspace_id: int, principal: str, limit: int, s3: S3Options | None = None) -> Iterator[bytes]:
        """The content. Raises CloudError, also when it has more than `limit` bytes."""
        place = parse(location)
        size, chunks = self._client(location, place, workspace_id, principal, s3).read(place, limit)
        if size > limit:
            raise CloudError("invalid", f"it has {size} bytes; the limit is {limit}")
        return _bounded(chunks, limit)

    def write(
        self, location: str, workspace_id: int, principal: str, chunks: Iterable[bytes], limit: int, s3: S3Options | None = None
    ) -> None:
        """Write an object, whole or not at all. Raises CloudError."""
        place = parse(location)
        client = self._client(location, place, workspace_id, principal, s3)
        with tempfile.SpooledTemporaryFile(max_size=8 << 20) as file:
            for chunk in _bounded(chunks, limit):
                file.write(chunk)
            size = file.tell()
            file.seek(0)
            client.write(place, file, size)

    def _client(self, location: str, place: Place, workspace_id: int, principal: str, s3: S3Options | None) -> Client:
        secret = self._secret(location, place, workspace_id, principal)
        if place.scheme == "s3":
            from boathouse.workspace.clouds.s3 import S3

            return S3(self._settings, secret, s3 or S3Options())
        if place.scheme == "abfss":
            from boathouse.workspace.clouds.azure import Azure

            return Azure(self._settings, secret, place.host)
        from boathouse.workspace.clouds.gcs import Gcs

        return Gcs(self._settings, secret)

    def _secret(self, location: str, place: Place, workspace_id: int, principal: str) -> dict[str, str]:
        """The credential for the location, with the principal's rights on the scope that has it; empty where none is named."""
        scope = self._settings.scope(location)
        if scope is None:
            return {}
        return credential(self._secrets, scope, KEYS[place.scheme], workspace_id, principal, "locations.credential")


def credential(
    secrets: Secrets, scope: str, keys: tuple[str, ...], workspace_id: int, principal: str, why: str
) -> dict[str, str]:
    """Those of these keys that a scope has, with the principal's rights on it. Raises CloudError, also where it has none."""
    found: dict[str, str] = {}
    for key in keys:
        try:
            found[key] = secrets.get_bytes(workspace_id, principal, scope, key, why=why).decode()
        except SecretMissing:
            continue
        except SecretDenied as error:
            raise CloudError("denied", f"its credential cannot be used: {error}") from None
        except (SecretError, UnicodeDecodeError):
            raise CloudError("denied", f"the secret {key} of scope {scope}, its credential, cannot be used") from None
    if not found:
        raise CloudError("denied", f"scope {scope}, named for its credential, has none of {', '.join(keys)}")
    return found


def _bounded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise CloudError("invalid", f"it is larger than {limit} bytes, the limit")
        yield chunk
