"""Objects of Google Cloud Storage (`gs://`), by google-cloud-storage. Without a credential requests are anonymous.

The credential is a service account's key in JSON; the machine's own (environment, files, metadata service) are never used.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

import requests

from boathouse.workspace.clouds import judged
from boathouse.workspace.clouds.places import CloudError, CloudSettings, Place

HOST = "storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
#: The library's hints know one number; a pair goes to `requests` as it is.
TIMES: Any = (judged.CONNECT_SECONDS, judged.SILENCE_SECONDS)


class Gcs:
    """Cloud Storage with one credential: `gcs_service_account_json`."""

    def __init__(self, settings: CloudSettings, secret: Mapping[str, str]) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import AuthorizedSession, Request
        from google.cloud import storage
        from google.oauth2 import service_account

        allowed = settings.private_hosts
        trusted = settings.endpoints.get(HOST)
        if trusted:
            allowed = (*allowed, urlsplit(trusted).netloc)
        credentials: Any = AnonymousCredentials()
        if secret.get("gcs_service_account_json"):
            try:
                info = json.loads(secret["gcs_service_account_json"])
                credentials = service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])
            except (ValueError, AttributeError):
                raise CloudError("denied", "the credential of this location is no key of a service account") from None
        asking = requests.Session()
        judged.mount(asking, allowed)
        session = AuthorizedSession(credentials, auth_request=Request(asking))
        judged.mount(session, allowed)
        options = {"api_endpoint": trusted} if trusted else None
        self._client = storage.Client(project="none", credentials=credentials, _http=session, client_options=options)

    def read(self, place: Place, limit: int) -> tuple[int, Iterator[bytes]]:
        """Nothing is fetched of an object that is larger than `limit`."""
        blob = self._client.bucket(place.bucket).blob(place.key)
        with _Explained():
            blob.reload(timeout=TIMES)
            size = blob.size or 0
            if size > limit:
                return size, iter(())
            file = tempfile.SpooledTemporaryFile(max_size=8 << 20)  # noqa: SIM115 - `_chunks` closes it
            blob.download_to_file(file, if_generation_match=blob.generation, timeout=TIMES)
        file.seek(0)
        return size, _chunks(file)

    def write(self, place: Place, file: IO[bytes], size: int) -> None:
        """An object appears when its upload is complete: whole or not at all."""
        blob = self._client.bucket(place.bucket).blob(place.key)
        with _Explained():
            blob.upload_from_file(file, size=size, timeout=TIMES)


def _chunks(file: Any) -> Iterator[bytes]:
    with file:
        while chunk := file.read(1 << 20):
            yield chunk


class _Explained:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from google.api_core.exceptions import GoogleAPICallError, NotFound
        from google.auth.exceptions import GoogleAuthError, RefreshError
        from google.resumable_media import InvalidResponse

        if isinstance(error, NotFound):
            raise CloudError("missing", "it does not exist") from None
        status = error.response.status_code if isinstance(error, InvalidResponse) else getattr(error, "code", None)
        if isinstance(error, GoogleAPICallError | InvalidResponse):
            if status == 404:
                raise CloudError("missing", "it does not exist") from None
            if status in (401, 403):
                raise CloudError("denied", f"Cloud Storage answers {status}") from None
            raise CloudError("unreachable" if (status or 500) >= 500 else "invalid", f"Cloud Storage answers {status}") from None
        if isinstance(error, RefreshError):
            raise CloudError("denied", "the service account's key is not accepted") from None
        if isinstance(error, GoogleAuthError | requests.RequestException):
            raise CloudError("unreachable", judged.said(error)) from None
