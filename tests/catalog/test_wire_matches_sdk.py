"""Every Struct of the catalog has the SDK's fields, and only them; what of the SDK's is not served is listed here."""

import dataclasses
import inspect

import msgspec
import pytest
from databricks.sdk.service import catalog as sdk

from boathouse.wire import catalog, catalog_storage

ANSWERS = {
    catalog.CatalogInfo: sdk.CatalogInfo, catalog.SchemaInfo: sdk.SchemaInfo, catalog.TableInfo: sdk.TableInfo,
    catalog.VolumeInfo: sdk.VolumeInfo, catalog.FunctionInfo: sdk.FunctionInfo, catalog.ColumnInfo: sdk.ColumnInfo,
    catalog.FunctionParameter: sdk.FunctionParameterInfo, catalog.FunctionSpec: sdk.CreateFunction,
    catalog.TableSummary: sdk.TableSummary, catalog.PermissionsChange: sdk.PermissionsChange,
    catalog.PrivilegeAssignment: sdk.PrivilegeAssignment, catalog.EffectivePrivilege: sdk.EffectivePrivilege,
    catalog.WorkspaceBinding: sdk.WorkspaceBinding, catalog.MetastoreInfo: sdk.MetastoreInfo,
    catalog.MetastoreAssignment: sdk.MetastoreAssignment,
    catalog_storage.ExternalLocationInfo: sdk.ExternalLocationInfo,
    catalog_storage.StorageCredentialInfo: sdk.StorageCredentialInfo, catalog_storage.ConnectionInfo: sdk.ConnectionInfo,
    catalog_storage.AwsIamRole: sdk.AwsIamRoleResponse, catalog_storage.AzureManagedIdentity: sdk.AzureManagedIdentityResponse,
    catalog_storage.AzureServicePrincipal: sdk.AzureServicePrincipal,
    catalog_storage.CloudflareApiToken: sdk.CloudflareApiToken,
    catalog_storage.GcpServiceAccount: sdk.DatabricksGcpServiceAccountResponse,
}  # fmt: skip

BODIES = {
    catalog.CreateCatalog: sdk.CatalogsAPI.create, catalog.UpdateCatalog: sdk.CatalogsAPI.update,
    catalog.CreateSchema: sdk.SchemasAPI.create, catalog.UpdateSchema: sdk.SchemasAPI.update,
    catalog.CreateTable: sdk.TablesAPI.create, catalog.UpdateTable: sdk.TablesAPI.update,
    catalog.CreateVolume: sdk.VolumesAPI.create, catalog.UpdateVolume: sdk.VolumesAPI.update,
    catalog.UpdatePermissions: sdk.GrantsAPI.update, catalog.UpdateBindings: sdk.WorkspaceBindingsAPI.update_bindings,
    catalog.CreateMetastore: sdk.MetastoresAPI.create, catalog.UpdateMetastore: sdk.MetastoresAPI.update,
    catalog_storage.CreateExternalLocation: sdk.ExternalLocationsAPI.create,
    catalog_storage.UpdateExternalLocation: sdk.ExternalLocationsAPI.update,
    catalog_storage.CreateStorageCredential: sdk.StorageCredentialsAPI.create,
    catalog_storage.UpdateStorageCredential: sdk.StorageCredentialsAPI.update,
    catalog_storage.CreateConnection: sdk.ConnectionsAPI.create, catalog_storage.UpdateConnection: sdk.ConnectionsAPI.update,
}  # fmt: skip

EVENTS = {
    "effective_enable_file_events", "effective_file_event_queue", "enable_file_events", "encryption_details",
    "file_event_queue",
}  # fmt: skip

#: Fields of the SDK's bodies that are refused by name.
REFUSED = {
    catalog.CreateCatalog: {
        "connection_name", "custom_max_retention_hours", "managed_encryption_settings", "options", "provider_name", "share_name",
    },
    catalog.UpdateCatalog: {"custom_max_retention_hours", "managed_encryption_settings", "options"},
    catalog.CreateSchema: {"custom_max_retention_hours"}, catalog.UpdateSchema: {"custom_max_retention_hours"},
    catalog_storage.CreateExternalLocation: EVENTS,
    catalog_storage.UpdateExternalLocation: EVENTS,
    catalog_storage.CreateConnection: {"environment_settings", "parent", "secrets"},
    catalog_storage.UpdateConnection: {"environment_settings", "secrets"},
}  # fmt: skip

#: What every securable of ours can tell, and the SDK's class of that one does not have.
NOT_THERE = {catalog_storage.ExternalLocationInfo: {"full_name"}}


def fields(struct):
    return {field.encode_name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize("ours", ANSWERS, ids=lambda struct: struct.__name__)
def test_answers(ours):
    theirs = {field.name for field in dataclasses.fields(ANSWERS[ours])}
    assert fields(ours) - NOT_THERE.get(ours, set()) <= theirs


@pytest.mark.parametrize("ours", BODIES, ids=lambda struct: struct.__name__)
def test_bodies(ours):
    theirs = set(inspect.signature(BODIES[ours]).parameters) - {"self"}
    in_path = theirs - fields(ours) - REFUSED.get(ours, set())
    assert fields(ours) <= theirs
    assert in_path <= {"name", "full_name", "id", "securable_type", "securable_name"}


def test_privileges_are_the_sdks():
    from boathouse.catalog import privileges

    assert {member.value for member in sdk.Privilege} >= privileges.PRIVILEGES
    assert {member.value for member in sdk.SecurableType} >= set(privileges.KINDS)
