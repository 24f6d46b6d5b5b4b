"""`/api/2.1/unity-catalog/storage-credentials`: how external locations are opened. Their secrets are sealed, and never shown."""

import uuid
from typing import Any

import msgspec

from boathouse.catalog import access, binding_rows, changes, securables, shown
from boathouse.catalog.access import Found
from boathouse.catalog.privileges import EXTERNAL_LOCATION, STORAGE_CREDENTIAL
from boathouse.catalog.seals import Seals
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.wire.base import Empty
from boathouse.wire.catalog import DeleteQuery, ListUnbound
from boathouse.wire.catalog_storage import (
    CreateStorageCredential,
    StorageCredentialInfo,
    StorageCredentialInfos,
    UpdateStorageCredential,
)

PATH = "/api/2.1/unity-catalog/storage-credentials"

#: The ways to say who is meant: exactly one of them, and in each the field that is a secret.
WAYS = {
    "aws_iam_role": "", "azure_managed_identity": "", "azure_service_principal": "client_secret",
    "cloudflare_api_token": "secret_access_key", "databricks_gcp_service_account": "",
}  # fmt: skip


def info(found: Found, fields: dict[str, Any]) -> StorageCredentialInfo:
    it = found.it
    said = {
        way: {name: value for name, value in it.document[way].items() if name != secret}
        for way, secret in WAYS.items()
        if way in it.document
    }
    return msgspec.convert(
        {
            **fields, **said, "id": it.securable_id, "read_only": it.document.get("read_only"),
            "isolation_mode": "ISOLATION_MODE_ISOLATED" if it.isolated else "ISOLATION_MODE_OPEN",
        },
        StorageCredentialInfo,
    )  # fmt: skip


def _said(ctx: Ctx, body: CreateStorageCredential | UpdateStorageCredential, securable_id: str) -> dict[str, Any]:
    """What a body says of who is meant, with secrets sealed and what the server adds."""
    said: dict[str, Any] = {}
    for way, secret in WAYS.items():
        value = getattr(body, way)
        if value is None:
            continue
        said[way] = {name: text for name, text in msgspec.to_builtins(value).items() if text is not None}
        if way == "aws_iam_role":
            said[way] |= {"external_id": securable_id}
        if secret in said[way]:
            bound = f'["storage credential","{securable_id}","{secret}"]'
            said[way][secret] = ctx.service(Seals).seal(said[way][secret], bound)
    return said


@endpoint("POST", PATH, action="unityCatalog.createStorageCredential")
def create(ctx: Ctx, body: CreateStorageCredential) -> StorageCredentialInfo:
    """A storage credential, the caller's. Nothing is asked of the cloud."""
    asker = access.of_caller(ctx)
    securable_id = str(uuid.uuid4())
    with ctx.transaction() as tx:
        parent = access.metastore(tx, asker).use("CREATE_STORAGE_CREDENTIAL")
        said = _said(ctx, body, securable_id)
        if len(said) != 1:
            raise invalid(f"Exactly one of {', '.join(WAYS)} must be given, not {len(said)}.")
        document = shown.document(body, "name", "skip_validation", *WAYS) | said
        made = changes.create(tx, parent, STORAGE_CREDENTIAL, body.name, document, securable_id=securable_id)
        return shown.one(tx, made, info)


@endpoint("GET", PATH + "/{name}", action="unityCatalog.getStorageCredential")
def get(ctx: Ctx, name: str) -> StorageCredentialInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, STORAGE_CREDENTIAL, name).see(), info)


@endpoint("GET", PATH, action="unityCatalog.listStorageCredentials")
def list_storage_credentials(ctx: Ctx, query: ListUnbound) -> StorageCredentialInfos:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        parent = access.metastore(reader, asker)
        entries, token = shown.page(
            lambda after: access.below(reader, parent, STORAGE_CREDENTIAL, after, unbound=query.include_unbound),
            query.max_results, query.page_token,
        )  # fmt: skip
        return StorageCredentialInfos(storage_credentials=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{name}", action="unityCatalog.updateStorageCredential")
def update(ctx: Ctx, body: UpdateStorageCredential, name: str) -> StorageCredentialInfo:
    """Change what is given; another way of saying who is meant takes the place of the old one."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, STORAGE_CREDENTIAL, name).manage()
        said = _said(ctx, body, found.securable_id)
        if len(said) > 1:
            raise invalid(f"At most one of {', '.join(WAYS)} can be given, not {len(said)}.")
        document = shown.document(body, "new_name", "owner", "isolation_mode", "force", "skip_validation", *WAYS)
        isolated = None if body.isolation_mode is None else body.isolation_mode == "ISOLATION_MODE_ISOLATED"
        binding_rows.bind_here(tx, found, isolated)
        if said:
            kept = {key: value for key, value in found.it.document.items() if key not in WAYS}
            without = securables.change(tx, found.it, asker.name, document=kept)
            found = changes.refreshed(tx, found, without)
        changed = changes.change(tx, found, new_name=body.new_name, owner=body.owner, isolated=isolated, document=document | said)
        return shown.one(tx, changed, info)


@endpoint("DELETE", PATH + "/{name}", action="unityCatalog.deleteStorageCredential")
def delete(ctx: Ctx, query: DeleteQuery, name: str) -> Empty:
    """End a storage credential; with `force` even when external locations use it."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, STORAGE_CREDENTIAL, name).manage()
        if not query.force:
            for it in securables.children(tx, found.it.metastore_id, EXTERNAL_LOCATION):
                if it.document["credential_id"] == found.securable_id:
                    raise changes.refuse(
                        f"Storage credential '{found.it.name}' is used by the external location '{it.name}'. "
                        "Remove that, or give force=true."
                    )
        changes.remove(tx, found, query.force)
    return Empty()
