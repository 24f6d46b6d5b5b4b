"""Addresses of objects in clouds, what an operator says about them, and what a cluster says of a bucket (pure)."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

#: Hosts of Azure storage accounts, by the ends of their names.
AZURE_ENDS = (".core.windows.net", ".core.usgovcloudapi.net", ".core.chinacloudapi.cn")

#: Encryptions and canned ACLs that an object of S3 can be given.
ENCRYPTIONS = ("sse-s3", "sse-kms")
CANNED_ACLS = (
    "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read",
    "bucket-owner-full-control",
)  # fmt: skip

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}[a-z0-9]")
_CONTAINER = re.compile(r"[$a-z0-9][a-z0-9-]{0,62}")
_REGION = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?/?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


Kind = Literal["missing", "denied", "invalid", "unreachable"]


class CloudError(Exception):
    """The object cannot be read or written; the message says why and never shows a credential."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message


class Place(msgspec.Struct, frozen=True):
    """One object. `scheme` s3, abfss or gs; `host` of the account for abfss, else empty."""

    scheme: str
    bucket: str
    key: str
    host: str = ""


class CloudSettings(msgspec.Struct, frozen=True):
    """What an operator says. `private_hosts`: endpoints that may be at private addresses and without TLS. `endpoints`: host of a
    cloud -> URL that stands in for it, trusted as it is. `credentials`: beginning of a location -> secret scope that has them."""

    private_hosts: tuple[str, ...] = ()
    endpoints: Mapping[str, str] = msgspec.field(default_factory=dict)
    credentials: Mapping[str, str] = msgspec.field(default_factory=dict)

    def scope(self, location: str) -> str | None:
        """The secret scope of the longest beginning that fits, at a border between names."""
        fitting = [
            start
            for start in self.credentials
            if location == start or location.startswith(start if start.endswith("/") else start + "/")
        ]
        return self.credentials[max(fitting, key=len)] if fitting else None


class S3Options(msgspec.Struct, frozen=True):
    """How to reach a bucket, and how objects are written there, as `init_scripts` and `cluster_log_conf` name it."""

    region: str | None = None
    endpoint: str | None = None
    enable_encryption: bool = False
    encryption_type: str | None = None
    kms_key: str | None = None
    canned_acl: str | None = None


def unreachable(region: str | None, endpoint: str | None) -> Iterator[str]:
    """Why S3 cannot be reached by this region and endpoint: each a sentence that begins with the field's name."""
    if region and not _REGION.fullmatch(region):
        yield f"region: {region[:100]!r} is not allowed; give the name of a region such as eu-west-1"
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        yield f"endpoint: {endpoint[:200]!r} is not of the form https://<host>"


def parse(location: str) -> Place:
    """The object that `s3://bucket/key` (also s3a), `abfss://container@account.dfs.core.windows.net/key` or `gs://bucket/key`
    names. Raises CloudError."""
    scheme, _, rest = location.partition("://")
    authority, _, key = rest.partition("/")
    scheme = "s3" if scheme in ("s3a", "s3n") else scheme
    if not key or len(key.encode(errors="replace")) > 1024 or any(ord(c) < 32 or ord(c) == 127 for c in key):
        raise CloudError("invalid", "it names no object: a bucket, a slash and 1 to 1024 bytes without control characters")
    if {"", ".", ".."} & set(key.split("/")):
        raise CloudError("invalid", "a name in it is empty, '.' or '..'")
    if scheme == "abfss":
        container, at, host = authority.partition("@")
        if not (at and _CONTAINER.fullmatch(container) and _HOST.fullmatch(host)):
            raise CloudError("invalid", "it is not of the form abfss://<container>@<account>.dfs.core.windows.net/<path>")
        return Place(scheme, container, key, host)
    if scheme not in ("s3", "gs") or not _BUCKET.fullmatch(authority):
        raise CloudError("invalid", f"'{authority[:100]}' is no name of a bucket")
    return Place(scheme, authority, key)
