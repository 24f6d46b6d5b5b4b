"""Objects of Azure storage accounts (`abfss://`), by azure-storage-blob: an account with a hierarchical namespace serves both.

The account is named in the address, so a credential goes to that host only. Without one, requests are anonymous.
"""

from collections.abc import Iterator, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

import requests

from boathouse.outbound.addresses import named
from boathouse.workspace.clouds import judged
from boathouse.workspace.clouds.places import AZURE_ENDS, CloudError, CloudSettings, Place

BAD_KEY = "the credential of this location is not of the form that Azure storage takes"


class Azure:
    """One storage account with one credential: `azure_account_key` or `azure_sas_token`."""

    def __init__(self, settings: CloudSettings, secret: Mapping[str, str], host: str) -> None:
        from azure.core.pipeline.transport import RequestsTransport
        from azure.storage.blob import BlobServiceClient

        allowed = settings.private_hosts
        trusted = settings.endpoints.get(host)
        if trusted:
            url, allowed = trusted, (*allowed, urlsplit(trusted).netloc)
        else:
            if not (host.endswith(AZURE_ENDS) or named(host, 443, allowed)):
                raise CloudError("invalid", f"'{host[:100]}' is no host of an Azure storage account")
            url = f"https://{host.replace('.dfs.', '.blob.')}"
        credential: Any = secret.get("azure_sas_token") or None
        if secret.get("azure_account_key"):
            credential = {"account_name": host.partition(".")[0], "account_key": secret["azure_account_key"]}
        session = requests.Session()
        judged.mount(session, allowed)
        transport = RequestsTransport(session=session, session_owner=False, use_env_settings=False)
        self._client = BlobServiceClient(
            url, credential=credential, transport=transport, retry_total=2, permit_redirects=False,
            connection_timeout=judged.CONNECT_SECONDS, read_timeout=judged.SILENCE_SECONDS, max_single_put_size=8 << 20,
            max_block_size=8 << 20, max_single_get_size=8 << 20, max_chunk_get_size=8 << 20,
        )  # fmt: skip

    def read(self, place: Place, limit: int) -> tuple[int, Iterator[bytes]]:
        """All of the content is of one version of the object."""
        with _Explained():
            found = self._client.get_blob_client(place.bucket, place.key).download_blob()
        return found.size, _chunks(found)

    def write(self, place: Place, file: IO[bytes], size: int) -> None:
        """Blocks first, then their list: whole or not at all."""
        with _Explained():
            self._client.get_blob_client(place.bucket, place.key).upload_blob(file, length=size, overwrite=True)


def _chunks(found: Any) -> Iterator[bytes]:
    with _Explained():
        yield from found.chunks()


class _Explained:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

        if isinstance(error, ResourceNotFoundError):
            raise CloudError("missing", "it does not exist, or is not public") from None
        if isinstance(error, HttpResponseError) and error.status_code in (401, 403, 409):
            raise CloudError("denied", f"Azure answers {_code(error)}") from None
        if isinstance(error, ClientAuthenticationError):  # before anything is sent: the text may repeat the key
            raise CloudError("denied", BAD_KEY) from None
        if isinstance(error, HttpResponseError) and error.status_code:
            said = f"Azure answers {_code(error)} ({error.status_code})"
            raise CloudError("unreachable" if error.status_code >= 500 else "invalid", said) from None
        if isinstance(error, AzureError):
            raise CloudError("unreachable", judged.said(error)) from None
        if isinstance(error, ValueError):
            raise CloudError("denied", BAD_KEY) from None


def _code(error: Any) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "an error")[:60]
