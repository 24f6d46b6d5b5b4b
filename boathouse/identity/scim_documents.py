"""Principals as SCIM documents (reference api F), and SCIM's own shape of refusals. Used by the SCIM endpoints only."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from boathouse.edge.errors import ApiError
from boathouse.identity import principals, registry
from boathouse.identity.principals import GROUP, USER
from boathouse.identity.tables import ACCOUNT_LEVEL, account_roles, entitlements
from boathouse.identity.tables import principals as table
from boathouse.store import Reader

ROOT = "/api/2.0/preview/scim/v2"
CORE = "urn:ietf:params:scim:schemas:core:2.0:"
EXTENSION = "urn:ietf:params:scim:schemas:extension:workspace:2.0:"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"

#: Attributes of others that somebody who is no admin gets to see.
PUBLIC = ("schemas", "id", "userName", "displayName", "applicationId", "active", "meta")


class ScimError(ApiError):
    """A refusal in SCIM's shape; `scim_type` is one of RFC 7644 3.12."""

    def __init__(self, status: int, detail: str, scim_type: str | None = None) -> None:
        super().__init__(status, f"SCIM_{status}", detail)
        self.scim_type = scim_type


def error_shape(error: ApiError) -> dict[str, Any]:
    """Refusals by a SCIM endpoint. Those that the edge makes before it (credentials, workspaces) keep the platform's
    shape."""
    if not isinstance(error, ScimError) and error.status != 400:
        return error.body()
    body: dict[str, Any] = {"schemas": [ERROR], "detail": error.message, "status": str(error.status)}
    scim_type = error.scim_type if isinstance(error, ScimError) else "invalidSyntax"
    if scim_type:
        body["scimType"] = scim_type
    return body


@dataclass(frozen=True)
class Wanted:
    """Which attributes somebody asks for and may see. `id` and `schemas` always; names compare without regard to case,
    and `name.givenName` means all of `name`."""

    only: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    def __call__(self, attribute: str) -> bool:
        name = attribute.lower()
        return name in ("id", "schemas") or ((not self.only or name in self.only) and name not in self.never)


ALL = Wanted()


def wanted(attributes: str, excluded: str, admin: bool) -> Wanted:
    """From the parameters `attributes` and `excludedAttributes`. Who is no admin sees of others what is public."""
    only = _names(attributes)
    if not admin:
        public = frozenset(name.lower() for name in PUBLIC)
        only = (only & public or frozenset({"id"})) if only else public
    return Wanted(only, _names(excluded))


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().split(".")[0].lower() for name in text.split(",") if name.strip())


def document(reader: Reader, workspace_id: int, principal: principals.Principal, wanted: Wanted = ALL) -> dict[str, Any]:
    """A principal as its workspace sees it. Only what is wanted is asked for."""
    row = reader.execute(
        select(table.c.attributes, table.c.external_id).where(table.c.principal_id == principal.principal_id)
    ).one()
    body: dict[str, Any] = {"id": str(principal.principal_id), "displayName": principal.display_name}
    if wanted("groups"):
        body["groups"] = [
            _entry(group.group_id, group.name, GROUP, type="direct" if group.direct else "indirect")
            for group in principals.groups_of(reader, principal.principal_id, workspace_id)
        ]
    if wanted("entitlements"):
        body["entitlements"] = [{"value": name} for name in _entitlements(reader, workspace_id, principal.principal_id)]
    if wanted("roles"):
        mine = account_roles.c.principal_id == principal.principal_id
        body["roles"] = [{"value": row.role} for row in reader.execute(select(account_roles.c.role).where(mine))]
    if row.external_id is not None:
        body["externalId"] = row.external_id
    if principal.kind == GROUP:
        body["schemas"] = [CORE + "Group"]
        body["meta"] = {"resourceType": "Group" if principal.workspace_id == ACCOUNT_LEVEL else "WorkspaceGroup"}
        if wanted("members"):
            members = registry.members_of(reader, principal.principal_id)
            body["members"] = [_entry(m.principal_id, m.display_name, m.kind) for m in members]
    elif principal.kind == USER:
        body |= {"schemas": [CORE + "User", EXTENSION + "User"], "userName": principal.name, "active": principal.active}
        body |= row.attributes
    else:
        body |= {"schemas": [CORE + "ServicePrincipal"], "applicationId": principal.name, "active": principal.active}
    return {key: value for key, value in body.items() if wanted(key)}


def _entitlements(reader: Reader, workspace_id: int, principal_id: int) -> list[str]:
    rows = reader.execute(
        select(entitlements.c.entitlement)
        .where(entitlements.c.workspace_id == workspace_id, entitlements.c.principal_id == principal_id)
        .order_by(entitlements.c.entitlement)
    )
    return [row.entitlement for row in rows]


def _entry(principal_id: int, display: str, kind: str, **more: str) -> dict[str, str]:
    resource = {GROUP: "Groups", USER: "Users"}.get(kind, "ServicePrincipals")
    return {"value": str(principal_id), "display": display, "$ref": f"{resource}/{principal_id}", **more}


def listing(found: Iterable[dict[str, Any]], total: int, start: int) -> dict[str, Any]:
    """One page. `Resources` is there even when it is empty: clients stop at an empty page."""
    resources = list(found)
    return {
        "schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": len(resources), "Resources": resources,
    }  # fmt: skip
