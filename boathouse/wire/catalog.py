"""Unity Catalog as it travels: bodies, queries and answers of `/api/2.1/unity-catalog/*`, with the API's own field names.
Times in epoch milliseconds. Locations, credentials and connections are in `catalog_storage`.

`tests/catalog` compares each Struct with the vendor's SDK.
"""

from typing import Any, Literal

from boathouse.wire.base import Wire

PredictiveOptimization = Literal["DISABLE", "ENABLE", "INHERIT"]


class Owned(Wire):
    """What every securable tells."""

    comment: str | None = None
    created_at: int | None = None
    created_by: str | None = None
    metastore_id: str | None = None
    name: str | None = None
    full_name: str | None = None
    owner: str | None = None
    updated_at: int | None = None
    updated_by: str | None = None


class ListQuery(Wire):
    """`max_results`: unset everything, 0 as many as the server likes."""

    max_results: int | None = None
    page_token: str = ""
    include_browse: bool = False


class ListUnbound(ListQuery, kw_only=True):
    include_unbound: bool = False


class GetQuery(Wire):
    include_browse: bool = False


class DeleteQuery(Wire):
    force: bool = False


class CreateCatalog(Wire):
    name: str
    comment: str | None = None
    properties: dict[str, str] | None = None
    storage_root: str | None = None


class UpdateCatalog(Wire):
    comment: str | None = None
    enable_predictive_optimization: PredictiveOptimization | None = None
    isolation_mode: Literal["OPEN", "ISOLATED"] | None = None
    new_name: str | None = None
    owner: str | None = None
    properties: dict[str, str] | None = None


class CatalogInfo(Owned, kw_only=True):
    browse_only: bool | None = None
    catalog_type: str | None = None
    enable_predictive_optimization: PredictiveOptimization | None = None
    isolation_mode: Literal["OPEN", "ISOLATED"] | None = None
    properties: dict[str, str] | None = None
    securable_type: str | None = None
    storage_location: str | None = None
    storage_root: str | None = None


class CatalogInfos(Wire):
    catalogs: list[CatalogInfo] = []
    next_page_token: str = ""


class CreateSchema(Wire):
    name: str
    catalog_name: str
    comment: str | None = None
    properties: dict[str, str] | None = None
    storage_root: str | None = None


class UpdateSchema(Wire):
    comment: str | None = None
    enable_predictive_optimization: PredictiveOptimization | None = None
    new_name: str | None = None
    owner: str | None = None
    properties: dict[str, str] | None = None


class SchemaInfo(Owned, kw_only=True):
    browse_only: bool | None = None
    catalog_name: str | None = None
    catalog_type: str | None = None
    enable_predictive_optimization: PredictiveOptimization | None = None
    properties: dict[str, str] | None = None
    schema_id: str | None = None
    storage_location: str | None = None
    storage_root: str | None = None


class ListSchemas(ListQuery, kw_only=True):
    catalog_name: str


class SchemaInfos(Wire):
    schemas: list[SchemaInfo] = []
    next_page_token: str = ""


class ColumnMask(Wire):
    function_name: str | None = None
    using_arguments: list[dict[str, Any]] | None = None
    using_column_names: list[str] | None = None


class ColumnInfo(Wire):
    comment: str | None = None
    mask: ColumnMask | None = None
    name: str | None = None
    nullable: bool | None = None
    partition_index: int | None = None
    position: int | None = None
    type_interval_type: str | None = None
    type_json: str | None = None
    type_name: str | None = None
    type_precision: int | None = None
    type_scale: int | None = None
    type_text: str | None = None


class CreateTable(Wire):
    name: str
    catalog_name: str
    schema_name: str
    table_type: Literal["EXTERNAL", "MANAGED"]
    data_source_format: Literal["AVRO", "CSV", "DELTA", "ICEBERG", "JSON", "ORC", "PARQUET", "TEXT"]
    storage_location: str = ""
    columns: list[ColumnInfo] | None = None
    properties: dict[str, str] | None = None


class UpdateTable(Wire):
    owner: str | None = None


class TableInfo(Owned, kw_only=True):
    browse_only: bool | None = None
    catalog_name: str | None = None
    columns: list[ColumnInfo] | None = None
    data_source_format: str | None = None
    properties: dict[str, str] | None = None
    schema_name: str | None = None
    storage_location: str | None = None
    table_id: str | None = None
    table_type: str | None = None


class GetTable(GetQuery, kw_only=True):
    """`include_delta_metadata`, `include_manifest_capabilities`: tables are metadata here, there is nothing to add."""

    include_delta_metadata: bool = False
    include_manifest_capabilities: bool = False


class ListInSchema(ListQuery, kw_only=True):
    catalog_name: str
    schema_name: str


class ListTables(ListInSchema, kw_only=True):
    include_manifest_capabilities: bool = False
    omit_columns: bool = False
    omit_properties: bool = False
    omit_username: bool = False


class TableInfos(Wire):
    tables: list[TableInfo] = []
    next_page_token: str = ""


class TableExists(Wire):
    """Never left out."""

    table_exists: bool | None = None


class ListSummaries(Wire):
    """Patterns as of SQL's LIKE."""

    catalog_name: str
    include_manifest_capabilities: bool = False
    max_results: int | None = None
    page_token: str = ""
    schema_name_pattern: str | None = None
    table_name_pattern: str | None = None


class TableSummary(Wire):
    full_name: str
    table_type: str


class TableSummaries(Wire):
    tables: list[TableSummary] = []
    next_page_token: str = ""


class CreateVolume(Wire):
    catalog_name: str
    schema_name: str
    name: str
    volume_type: Literal["EXTERNAL", "MANAGED"]
    comment: str | None = None
    storage_location: str | None = None


class UpdateVolume(Wire):
    comment: str | None = None
    new_name: str | None = None
    owner: str | None = None


class VolumeInfo(Owned, kw_only=True):
    browse_only: bool | None = None
    catalog_name: str | None = None
    schema_name: str | None = None
    storage_location: str | None = None
    volume_id: str | None = None
    volume_type: str | None = None


class VolumeInfos(Wire):
    volumes: list[VolumeInfo] = []
    next_page_token: str = ""


class FunctionParameter(Wire):
    name: str
    type_text: str
    type_name: str
    position: int
    comment: str | None = None
    parameter_default: str | None = None
    parameter_mode: Literal["IN"] | None = None
    parameter_type: Literal["COLUMN", "PARAM"] | None = None
    type_interval_type: str | None = None
    type_json: str | None = None
    type_precision: int | None = None
    type_scale: int | None = None


class FunctionParameters(Wire):
    parameters: list[FunctionParameter] | None = None


class FunctionSpec(Wire):
    """What a function is, as it was accepted. `properties` is JSON in a text."""

    name: str
    catalog_name: str
    schema_name: str
    input_params: FunctionParameters | None = None
    data_type: str | None = None
    full_data_type: str | None = None
    routine_body: Literal["EXTERNAL", "SQL"] | None = None
    routine_definition: str | None = None
    parameter_style: Literal["S"] | None = None
    is_deterministic: bool | None = None
    sql_data_access: Literal["CONTAINS_SQL", "NO_SQL", "READS_SQL_DATA"] | None = None
    is_null_call: bool | None = None
    security_type: Literal["DEFINER"] | None = None
    specific_name: str | None = None
    comment: str | None = None
    external_language: str | None = None
    external_name: str | None = None
    properties: str | None = None
    return_params: FunctionParameters | None = None
    routine_dependencies: dict[str, Any] | None = None
    sql_path: str | None = None


class CreateFunction(Wire):
    function_info: FunctionSpec


class UpdateFunction(Wire):
    owner: str | None = None


class FunctionInfo(Owned, kw_only=True):
    browse_only: bool | None = None
    catalog_name: str | None = None
    schema_name: str | None = None
    input_params: FunctionParameters | None = None
    data_type: str | None = None
    full_data_type: str | None = None
    function_id: str | None = None
    routine_body: str | None = None
    routine_definition: str | None = None
    parameter_style: str | None = None
    is_deterministic: bool | None = None
    sql_data_access: str | None = None
    is_null_call: bool | None = None
    security_type: str | None = None
    specific_name: str | None = None
    external_language: str | None = None
    external_name: str | None = None
    properties: str | None = None
    return_params: FunctionParameters | None = None
    routine_dependencies: dict[str, Any] | None = None
    sql_path: str | None = None


class FunctionInfos(Wire):
    functions: list[FunctionInfo] = []
    next_page_token: str = ""


class PermissionsChange(Wire):
    principal: str
    add: list[str] = []
    remove: list[str] = []


class UpdatePermissions(Wire):
    changes: list[PermissionsChange] = []
    omit_permissions_in_response: bool = False


class PermissionsQuery(Wire):
    """Of get and get_effective."""

    max_results: int | None = None
    page_token: str = ""
    principal: str | None = None


class AssignmentsQuery(Wire):
    """Of the newer, always paged list and list_effective."""

    page_size: int | None = None
    page_token: str = ""
    principal: str | None = None


class PrivilegeAssignment(Wire):
    principal: str
    privileges: list[str] = []


class Permissions(Wire):
    privilege_assignments: list[PrivilegeAssignment] = []
    next_page_token: str = ""


class EffectivePrivilege(Wire):
    privilege: str
    inherited_from_name: str | None = None
    inherited_from_type: str | None = None


class EffectiveAssignment(Wire):
    principal: str
    privileges: list[EffectivePrivilege] = []


class EffectivePermissions(Wire):
    privilege_assignments: list[EffectiveAssignment] = []
    next_page_token: str = ""


class EffectiveAssignments(Wire):
    effective_privilege_assignments: list[EffectiveAssignment] = []
    next_page_token: str = ""


class WorkspaceBinding(Wire):
    workspace_id: int
    binding_type: Literal["BINDING_TYPE_READ_ONLY", "BINDING_TYPE_READ_WRITE"] | None = None


class BindingsQuery(Wire):
    max_results: int | None = None
    page_token: str = ""


class Bindings(Wire):
    bindings: list[WorkspaceBinding] = []
    next_page_token: str = ""


class UpdateBindings(Wire):
    add: list[WorkspaceBinding] = []
    remove: list[WorkspaceBinding] = []


class CatalogWorkspaces(Wire):
    workspaces: list[int] = []


class UpdateCatalogWorkspaces(Wire):
    assign_workspaces: list[int] = []
    unassign_workspaces: list[int] = []


DeltaSharingScope = Literal["INTERNAL", "INTERNAL_AND_EXTERNAL"]


class CreateMetastore(Wire):
    name: str
    external_access_enabled: bool | None = None
    region: str | None = None
    storage_root: str | None = None


class UpdateMetastore(Wire):
    delta_sharing_organization_name: str | None = None
    delta_sharing_recipient_token_lifetime_in_seconds: int | None = None
    delta_sharing_scope: DeltaSharingScope | None = None
    external_access_enabled: bool | None = None
    new_name: str | None = None
    owner: str | None = None
    privilege_model_version: Literal["1.0"] | None = None
    storage_root_credential_id: str | None = None


class MetastoreInfo(Wire):
    cloud: str | None = None
    created_at: int | None = None
    created_by: str | None = None
    delta_sharing_organization_name: str | None = None
    delta_sharing_recipient_token_lifetime_in_seconds: int | None = None
    delta_sharing_scope: DeltaSharingScope | None = None
    external_access_enabled: bool | None = None
    global_metastore_id: str | None = None
    metastore_id: str | None = None
    name: str | None = None
    owner: str | None = None
    privilege_model_version: str | None = None
    region: str | None = None
    storage_root: str | None = None
    storage_root_credential_id: str | None = None
    updated_at: int | None = None
    updated_by: str | None = None


class MetastoreInfos(Wire):
    metastores: list[MetastoreInfo] = []
    next_page_token: str = ""


class MetastoreAssignment(Wire):
    metastore_id: str
    workspace_id: int
    default_catalog_name: str


class AssignMetastore(Wire):
    metastore_id: str
    default_catalog_name: str


class UpdateAssignment(Wire):
    metastore_id: str | None = None
    default_catalog_name: str | None = None


class UnassignMetastore(Wire):
    metastore_id: str
