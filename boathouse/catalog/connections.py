"""`/api/2.1/unity-catalog/connections`: where other database systems are, and how one logs in there. Options that may be secrets
are sealed and never shown; nothing connects yet."""

import uuid
from typing import Any

from boathouse.catalog import access, changes, shown
from boathouse.catalog.access import Found
from boathouse.catalog.privileges import CONNECTION
from boathouse.catalog.seals import Seals
from boathouse.edge import Ctx, endpoint
from boathouse.wire.base import Empty
from boathouse.wire.catalog_storage import (
    ConnectionInfo,
    ConnectionInfos,
    CreateConnection,
    ListConnections,
    UpdateConnection,
)

PATH = "/api/2.1/unity-catalog/connections"

#: Options that are no secrets; every other one may be.
PLAIN = frozenset({
    "host", "port", "user", "database", "httpPath", "warehouse", "sfWarehouse", "sfRole", "trustServerCertificate", "base_path",
    "service_name", "project_id", "projectId", "encryption_protocol", "db_type", "version", "client_id", "oauth_scope",
    "token_endpoint", "authorization_endpoint",
})  # fmt: skip


def info(found: Found, fields: dict[str, Any]) -> ConnectionInfo:
    it = found.it
    said = it.document
    options = {name: value for name, value in said["options"].items() if name in PLAIN}
    host = options.get("host")
    return ConnectionInfo(
        **fields, connection_id=it.securable_id, connection_type=said["connection_type"], options=options,
        credential_type="USERNAME_PASSWORD" if "user" in options else None, properties=said.get("properties"),
        read_only=said.get("read_only"), securable_type="CONNECTION",
        url=f"{host}:{options['port']}" if host and "port" in options else host,
    )  # fmt: skip


def _sealed(ctx: Ctx, options: dict[str, str], securable_id: str) -> dict[str, str]:
    seals = ctx.service(Seals)
    return {
        name: value if name in PLAIN else seals.seal(value, f'["connection","{securable_id}","{name}"]')
        for name, value in options.items()
    }


@endpoint("POST", PATH, action="unityCatalog.createConnection")
def create(ctx: Ctx, body: CreateConnection) -> ConnectionInfo:
    """A connection, the caller's."""
    asker = access.of_caller(ctx)
    ctx.params = {**shown.document(body), "options": sorted(body.options)}
    securable_id = str(uuid.uuid4())
    with ctx.transaction() as tx:
        parent = access.metastore(tx, asker).use("CREATE_CONNECTION")
        document = shown.document(body, "name") | {"options": _sealed(ctx, body.options, securable_id)}
        return shown.one(tx, changes.create(tx, parent, CONNECTION, body.name, document, securable_id=securable_id), info)


@endpoint("GET", PATH + "/{name}", action="unityCatalog.getConnection")
def get(ctx: Ctx, name: str) -> ConnectionInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, CONNECTION, name).see(), info)


@endpoint("GET", PATH, action="unityCatalog.listConnections")
def list_connections(ctx: Ctx, query: ListConnections) -> ConnectionInfos:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        parent = access.metastore(reader, asker)
        entries, token = shown.page(
            lambda after: access.below(reader, parent, CONNECTION, after), query.max_results, query.page_token
        )
        return ConnectionInfos(connections=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{name}", action="unityCatalog.updateConnection")
def update(ctx: Ctx, body: UpdateConnection, name: str) -> ConnectionInfo:
    """Other options take the place of all old ones."""
    asker = access.of_caller(ctx)
    ctx.params = {**shown.document(body), "options": sorted(body.options)}
    with ctx.transaction() as tx:
        found = access.look(tx, asker, CONNECTION, name).manage()
        document = {"options": _sealed(ctx, body.options, found.securable_id)}
        return shown.one(tx, changes.change(tx, found, new_name=body.new_name, owner=body.owner, document=document), info)


@endpoint("DELETE", PATH + "/{name}", action="unityCatalog.deleteConnection")
def delete(ctx: Ctx, name: str) -> Empty:
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.remove(tx, access.look(tx, asker, CONNECTION, name).manage(), force=True)
    return Empty()
