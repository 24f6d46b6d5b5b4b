"""Workspace switches and secrets as they travel (`/api/2.0/workspace-conf`, `/api/2.0/secrets/*`)."""

from typing import Any, Literal

from boathouse.wire.base import Wire

Permission = Literal["READ", "WRITE", "MANAGE"]


class ConfQuery(Wire):
    """`keys`: names of switches, with commas between them."""

    keys: str = ""


class CreateScope(Wire):
    scope: str
    initial_manage_principal: str | None = None
    scope_backend_type: Literal["DATABRICKS", "AZURE_KEYVAULT"] | None = None
    backend_azure_keyvault: dict[str, Any] | None = None


class DeleteScope(Wire):
    scope: str


class PutSecret(Wire):
    """`bytes_value`: base64."""

    scope: str
    key: str
    string_value: str | None = None
    bytes_value: str | None = None


class DeleteSecret(Wire):
    scope: str
    key: str


class ListSecrets(Wire):
    scope: str


class GetSecret(Wire):
    scope: str
    key: str


class PutAcl(Wire):
    scope: str
    principal: str
    permission: Permission


class DeleteAcl(Wire):
    scope: str
    principal: str


class GetAcl(Wire):
    scope: str
    principal: str


class ListAcls(Wire):
    scope: str


class Scope(Wire):
    name: str
    backend_type: str


class Scopes(Wire):
    scopes: list[Scope] = []


class SecretMetadata(Wire):
    """`last_updated_timestamp`: epoch milliseconds."""

    key: str
    last_updated_timestamp: int


class SecretList(Wire):
    secrets: list[SecretMetadata] = []


class SecretValue(Wire):
    """`value`: base64."""

    key: str
    value: str


class Acl(Wire):
    principal: str
    permission: Permission


class Acls(Wire):
    items: list[Acl] = []
