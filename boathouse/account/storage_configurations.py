"""`/api/2.0/accounts/{account_id}/storage-configurations`: buckets, by name."""

from typing import Any

import msgspec

from boathouse.account import cloud_objects
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.wire.account_delivery import CreateStorageConfiguration

ROOT = "/api/2.0/accounts/{account_id}/storage-configurations"
KIND = cloud_objects.Kind("storage configuration", "storage_configuration_id", "storage_configuration_name")

_is_bucket = cloud_objects.fits(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@endpoint("POST", ROOT, action="storageConfigurations.create")
def create(ctx: Ctx, account_id: str, body: CreateStorageConfiguration) -> dict[str, Any]:
    """Keep the name of a bucket."""
    bucket = body.root_bucket_info.bucket_name
    if not _is_bucket(bucket):
        raise invalid(f"root_bucket_info.bucket_name: '{bucket[:80]}' is no bucket. Allowed: 3 to 63 of a-z, 0-9, '.' and '-'.")
    document = {"root_bucket_info": msgspec.to_builtins(body.root_bucket_info)}
    return cloud_objects.create(ctx, KIND, body.storage_configuration_name, document)


@endpoint("GET", ROOT, action="storageConfigurations.list")
def list_configurations(ctx: Ctx, account_id: str) -> list[dict[str, Any]]:
    """All of the account, by name."""
    return cloud_objects.all_of(ctx, KIND)


@endpoint("GET", ROOT + "/{storage_configuration_id}", action="storageConfigurations.get")
def get(ctx: Ctx, account_id: str, storage_configuration_id: str) -> dict[str, Any]:
    """One of them."""
    return cloud_objects.get(ctx, KIND, storage_configuration_id)


@endpoint("DELETE", ROOT + "/{storage_configuration_id}", action="storageConfigurations.delete")
def delete(ctx: Ctx, account_id: str, storage_configuration_id: str) -> dict[str, Any]:
    """Delete one that nothing refers to."""
    return cloud_objects.remove(ctx, KIND, storage_configuration_id)
