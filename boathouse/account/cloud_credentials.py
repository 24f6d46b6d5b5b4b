"""`/api/2.0/accounts/{account_id}/credentials`: roles in a cloud, by name."""

from typing import Any

import msgspec

from boathouse.account import cloud_objects
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.wire.account_delivery import CreateCredentials

ROOT = "/api/2.0/accounts/{account_id}/credentials"
KIND = cloud_objects.Kind("credentials configuration", "credentials_id", "credentials_name")

_is_role = cloud_objects.fits(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")


@endpoint("POST", ROOT, action="credentials.create")
def create(ctx: Ctx, account_id: str, body: CreateCredentials) -> dict[str, Any]:
    """Keep the name of a role."""
    role = body.aws_credentials.sts_role.role_arn
    if not _is_role(role):
        raise invalid(f"aws_credentials.sts_role.role_arn: '{role[:100]}' is no role. Allowed: arn:aws:iam::ACCOUNT:role/NAME.")
    document = {"aws_credentials": msgspec.to_builtins(body.aws_credentials)}
    return cloud_objects.create(ctx, KIND, body.credentials_name, document)


@endpoint("GET", ROOT, action="credentials.list")
def list_credentials(ctx: Ctx, account_id: str) -> list[dict[str, Any]]:
    """All of the account, by name."""
    return cloud_objects.all_of(ctx, KIND)


@endpoint("GET", ROOT + "/{credentials_id}", action="credentials.get")
def get(ctx: Ctx, account_id: str, credentials_id: str) -> dict[str, Any]:
    """One of them."""
    return cloud_objects.get(ctx, KIND, credentials_id)


@endpoint("DELETE", ROOT + "/{credentials_id}", action="credentials.delete")
def delete(ctx: Ctx, account_id: str, credentials_id: str) -> dict[str, Any]:
    """Delete one that nothing refers to."""
    return cloud_objects.remove(ctx, KIND, credentials_id)
