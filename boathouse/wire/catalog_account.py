"""Metastores and their assignment as they travel on the account's paths (reference api G): wrapped."""

from boathouse.wire.base import Wire
from boathouse.wire.catalog import CreateMetastore, MetastoreAssignment, MetastoreInfo, UpdateMetastore


class CreateAccountMetastore(Wire):
    metastore_info: CreateMetastore


class UpdateAccountMetastore(Wire):
    metastore_info: UpdateMetastore


class AccountMetastore(Wire):
    metastore_info: MetastoreInfo


class AccountMetastores(Wire):
    metastores: list[MetastoreInfo]


class GivenMetastore(Wire):
    """`metastore_id` and `workspace_id` repeat the path."""

    metastore_id: str | None = None
    workspace_id: int | None = None
    default_catalog_name: str | None = None


class AccountAssignmentBody(Wire):
    metastore_assignment: GivenMetastore | None = None


class AccountAssignment(Wire):
    metastore_assignment: MetastoreAssignment


class AssignedWorkspaces(Wire):
    workspace_ids: list[int]
