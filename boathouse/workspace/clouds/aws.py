"""A client of one service of Amazon's, by boto3, whose connections go to judged addresses only.

The credentials are those that the operator's settings name; the machine's own (environment, files, metadata service) are used
only where a setting says so, because they are the operator's and not the caller's.
"""

from collections.abc import Mapping
from typing import Any

from boathouse.workspace.clouds import judged

DEFAULT_REGION = "us-east-1"


def client(
    service: str,
    secret: Mapping[str, str] | None,
    region: str | None,
    url: str | None,
    allowed_private: tuple[str, ...],
    deadline: judged.Deadline | None = None,
    proxy: str = "",
    **config: Any,
) -> Any:
    """A client of `service`. `secret`: keys as `store.KEYS` names them, empty for unsigned requests, None for the machine's own
    credentials. `url`: what stands in for the service. `proxy`: its URL; nothing else is connected to then."""
    import boto3
    from botocore import UNSIGNED
    from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
    from botocore.config import Config

    given: dict[str, Any] = {}
    if secret is not None:
        given = {
            "aws_access_key_id": secret.get("aws_access_key_id") or "none",
            "aws_secret_access_key": secret.get("aws_secret_access_key") or "none",
            "aws_session_token": secret.get("aws_session_token"),
        }
    session = boto3.Session(region_name=region or (secret or {}).get("region") or DEFAULT_REGION, **given)
    unsigned = secret is not None and not secret.get("aws_access_key_id")
    made = Config(
        connect_timeout=judged.CONNECT_SECONDS, read_timeout=judged.SILENCE_SECONDS,
        retries={"total_max_attempts": 3}, proxies={"http": proxy, "https": proxy} if proxy else {},
        signature_version=UNSIGNED if unsigned else None, **config,
    )  # fmt: skip
    found = session.client(service, endpoint_url=url, config=made)
    if not proxy:  # a proxy connects in our place
        # The one thing of botocore's that has no public way: which connections its session makes.
        manager = found._endpoint.http_session._manager  # type: ignore[attr-defined]
        manager.pool_classes_by_scheme = judged.classes(allowed_private, AWSHTTPConnection, AWSHTTPSConnection, deadline=deadline)
    return found
