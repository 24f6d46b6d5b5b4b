"""Objects of S3, and of what speaks its protocol, by boto3. Without a credential requests are unsigned: public objects only.

The credentials are those that the operator's settings name for the location; the machine's own (environment, files, metadata
service) are never used, because they are the operator's and not the caller's.
"""

from collections.abc import Iterator, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

from boathouse.outbound.addresses import named
from boathouse.workspace.clouds import aws, judged
from boathouse.workspace.clouds.places import (
    CANNED_ACLS,
    ENCRYPTIONS,
    CloudError,
    CloudSettings,
    Place,
    S3Options,
    unreachable,
)

AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


#: Seconds that one object may take: a user's endpoint may be made to answer slowly. At least these, and for each byte.
SECONDS, SECONDS_PER_BYTE = 60.0, 1 / (64 << 10)


def _client(
    settings: CloudSettings, secret: Mapping[str, str], region: str | None, endpoint: str | None, deadline: judged.Deadline
) -> Any:
    trusted = settings.endpoints.get("s3.amazonaws.com") if not endpoint else None
    url = endpoint or trusted
    allowed = settings.private_hosts
    if trusted:
        allowed = (*allowed, urlsplit(trusted).netloc)
    elif url:
        _check_endpoint(url, settings, bool(secret))
    return aws.client(
        "s3", secret, region, url, allowed, deadline,
        s3={"addressing_style": "path"} if url else None,
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip


def _check_endpoint(url: str, settings: CloudSettings, with_credential: bool) -> None:
    for why in unreachable(None, url):
        raise CloudError("invalid", why)
    parts = urlsplit(url)
    assert parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "http" and not named(parts.hostname, port, settings.private_hosts):
        raise CloudError("invalid", "an endpoint without TLS must be named by the setting location_private_hosts")
    if with_credential and not (parts.hostname.endswith(AMAZON) or named(parts.hostname, port, settings.private_hosts)):
        where = parts.hostname[:100]
        raise CloudError("denied", f"its credential does not go to {where}: location_private_hosts does not name it")


class S3:
    """One object store with one credential."""

    def __init__(self, settings: CloudSettings, secret: Mapping[str, str], options: S3Options) -> None:
        self._deadline, self._options = judged.Deadline(), options
        with _Explained():
            self._client = _client(settings, secret, options.region, options.endpoint, self._deadline)

    def read(self, place: Place, limit: int) -> tuple[int, Iterator[bytes]]:
        self._deadline.begin(SECONDS + limit * SECONDS_PER_BYTE)
        try:
            with _Explained():
                answer = self._client.get_object(Bucket=place.bucket, Key=place.key)
            if "ContentLength" not in answer:  # its end could not be told from a broken connection
                raise CloudError("invalid", "the answer does not say how long it is")
        except CloudError:
            self._deadline.over()
            raise
        return answer["ContentLength"], self._chunks(answer["Body"])

    def _chunks(self, body: Any) -> Iterator[bytes]:
        with self._deadline, body, _Explained():
            yield from body.iter_chunks(1 << 20)

    def write(self, place: Place, file: IO[bytes], size: int) -> None:
        """One PUT: whole or not at all."""
        options = _put_options(self._options)
        self._deadline.begin(SECONDS + size * SECONDS_PER_BYTE)
        with self._deadline, _Explained():
            self._client.put_object(Bucket=place.bucket, Key=place.key, Body=file, ContentLength=size, **options)


def _put_options(options: S3Options) -> dict[str, str]:
    """Encryption and access of a new object, in S3's words. Raises CloudError."""
    found: dict[str, str] = {}
    kind = options.encryption_type or "sse-s3"
    if kind not in ENCRYPTIONS:
        raise CloudError("invalid", f"encryption_type '{kind[:40]}'. Allowed: {', '.join(ENCRYPTIONS)}")
    if options.enable_encryption:
        found["ServerSideEncryption"] = "aws:kms" if kind == "sse-kms" else "AES256"
        if kind == "sse-kms" and options.kms_key:
            found["SSEKMSKeyId"] = options.kms_key
    if options.canned_acl:
        if options.canned_acl not in CANNED_ACLS:
            raise CloudError("invalid", f"canned_acl '{options.canned_acl[:40]}'. Allowed: {', '.join(CANNED_ACLS)}")
        found["ACL"] = options.canned_acl
    return found


class _Explained:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
        from urllib3.exceptions import HTTPError

        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))[:60]
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code in ("NoSuchKey", "NoSuchBucket", "404") or status == 404:
                what = "the bucket" if code == "NoSuchBucket" else "it"
                raise CloudError("missing", f"{what} does not exist") from None
            if status in (401, 403):
                raise CloudError("denied", f"S3 answers {code}") from None
            raise CloudError("unreachable" if (status or 500) >= 500 else "invalid", f"S3 answers {code} ({status})") from None
        if isinstance(error, ParamValidationError | ValueError):
            raise CloudError("invalid", "S3 does not take such a name, region or endpoint") from None
        if isinstance(error, BotoCoreError | HTTPError | OSError):
            raise CloudError("unreachable", judged.said(error)) from None
