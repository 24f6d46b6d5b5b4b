"""External locations, storage credentials and connections as they travel: `/api/2.1/unity-catalog/*`."""

from typing import Literal

from boathouse.wire.base import Wire
from boathouse.wire.catalog import Owned

IsolationMode = Literal["ISOLATION_MODE_OPEN", "ISOLATION_MODE_ISOLATED"]


class CreateExternalLocation(Wire):
    """`skip_validation`: nothing is asked of the cloud here either way."""

    name: str
    url: str
    credential_name: str
    comment: str | None = None
    fallback: bool | None = None
    read_only: bool | None = None
    skip_validation: bool = False


class UpdateExternalLocation(Wire):
    comment: str | None = None
    credential_name: str | None = None
    fallback: bool | None = None
    force: bool = False
    isolation_mode: IsolationMode | None = None
    new_name: str | None = None
    owner: str | None = None
    read_only: bool | None = None
    skip_validation: bool = False
    url: str | None = None


class ExternalLocationInfo(Owned, kw_only=True):
    full_name: None = None
    browse_only: bool | None = None
    credential_id: str | None = None
    credential_name: str | None = None
    fallback: bool | None = None
    isolation_mode: IsolationMode | None = None
    read_only: bool | None = None
    url: str | None = None


class ExternalLocationInfos(Wire):
    external_locations: list[ExternalLocationInfo] = []
    next_page_token: str = ""


class AwsIamRole(Wire):
    """`external_id` and `unity_catalog_iam_arn` are the server's."""

    role_arn: str
    external_id: str | None = None
    unity_catalog_iam_arn: str | None = None


class AzureManagedIdentity(Wire):
    access_connector_id: str
    credential_id: str | None = None
    managed_identity_id: str | None = None


class AzureServicePrincipal(Wire):
    directory_id: str
    application_id: str
    client_secret: str | None = None


class CloudflareApiToken(Wire):
    access_key_id: str
    secret_access_key: str | None = None
    account_id: str | None = None


class GcpServiceAccount(Wire):
    credential_id: str | None = None
    email: str | None = None


class CreateStorageCredential(Wire):
    name: str
    aws_iam_role: AwsIamRole | None = None
    azure_managed_identity: AzureManagedIdentity | None = None
    azure_service_principal: AzureServicePrincipal | None = None
    cloudflare_api_token: CloudflareApiToken | None = None
    comment: str | None = None
    databricks_gcp_service_account: GcpServiceAccount | None = None
    read_only: bool | None = None
    skip_validation: bool = False


class UpdateStorageCredential(Wire):
    aws_iam_role: AwsIamRole | None = None
    azure_managed_identity: AzureManagedIdentity | None = None
    azure_service_principal: AzureServicePrincipal | None = None
    cloudflare_api_token: CloudflareApiToken | None = None
    comment: str | None = None
    databricks_gcp_service_account: GcpServiceAccount | None = None
    force: bool = False
    isolation_mode: IsolationMode | None = None
    new_name: str | None = None
    owner: str | None = None
    read_only: bool | None = None
    skip_validation: bool = False


class StorageCredentialInfo(Owned, kw_only=True):
    """Never with a secret."""

    aws_iam_role: AwsIamRole | None = None
    azure_managed_identity: AzureManagedIdentity | None = None
    azure_service_principal: AzureServicePrincipal | None = None
    cloudflare_api_token: CloudflareApiToken | None = None
    databricks_gcp_service_account: GcpServiceAccount | None = None
    id: str | None = None
    isolation_mode: IsolationMode | None = None
    read_only: bool | None = None


class StorageCredentialInfos(Wire):
    storage_credentials: list[StorageCredentialInfo] = []
    next_page_token: str = ""


ConnectionType = Literal[
    "BIGQUERY", "DATABRICKS", "GLUE", "HIVE_METASTORE", "HTTP", "MYSQL", "ORACLE", "POSTGRESQL", "REDSHIFT",
    "SALESFORCE_DATA_CLOUD", "SNOWFLAKE", "SQLDW", "SQLSERVER", "TERADATA",
]  # fmt: skip


class CreateConnection(Wire):
    name: str
    connection_type: ConnectionType
    options: dict[str, str]
    comment: str | None = None
    properties: dict[str, str] | None = None
    read_only: bool | None = None


class UpdateConnection(Wire):
    options: dict[str, str]
    new_name: str | None = None
    owner: str | None = None


class ListConnections(Wire):
    max_results: int | None = None
    page_token: str = ""


class ConnectionInfo(Owned, kw_only=True):
    """`options` without secrets."""

    connection_id: str | None = None
    connection_type: ConnectionType | None = None
    credential_type: Literal["USERNAME_PASSWORD"] | None = None
    options: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    read_only: bool | None = None
    securable_type: str | None = None
    url: str | None = None


class ConnectionInfos(Wire):
    connections: list[ConnectionInfo] = []
    next_page_token: str = ""
