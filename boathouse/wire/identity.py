"""SCIM resources as they travel (`/api/2.0/preview/scim/v2/*`, `/api/2.0/accounts/{account_id}/scim/v2/*`), with SCIM's own
attribute names. The same shapes create (POST) and replace (PUT)."""

from typing import Any

from boathouse.wire.base import Wire


class Value(Wire):
    """An entitlement or a role."""

    value: str


class Reference(Wire, rename={"ref": "$ref"}):
    """A member, or a group that something is in. Only `value` counts; the rest is what the server said."""

    value: str
    display: str | None = None
    type: str | None = None
    ref: str | None = None


class Email(Wire):
    value: str
    display: str | None = None
    type: str | None = None
    primary: bool | None = None


class Name(Wire, rename={"given_name": "givenName", "family_name": "familyName"}):
    given_name: str | None = None
    family_name: str | None = None


class Resource(Wire, rename={"external_id": "externalId"}):
    """What all have. `id`, `groups` and `meta` are the server's: a PUT may repeat them."""

    schemas: list[str] = []
    id: str | None = None
    external_id: str | None = None
    entitlements: list[Value] | None = None
    roles: list[Value] | None = None
    groups: list[Reference] | None = None
    meta: dict[str, Any] | None = None


class User(Resource, kw_only=True, rename={"user_name": "userName", "display_name": "displayName", "external_id": "externalId"}):
    """`active` None: true when created, as it was when replaced."""

    user_name: str
    display_name: str | None = None
    active: bool | None = None
    name: Name | None = None
    emails: list[Email] | None = None


class ServicePrincipal(
    Resource,
    kw_only=True,
    rename={"application_id": "applicationId", "display_name": "displayName", "external_id": "externalId"},
):
    application_id: str | None = None
    display_name: str | None = None
    active: bool | None = None


class Group(Resource, kw_only=True, rename={"display_name": "displayName", "external_id": "externalId"}):
    display_name: str
    members: list[Reference] | None = None


class PatchOperation(Wire):
    """`op`: add, remove or replace, in any case of letters."""

    op: str
    path: str | None = None
    value: Any = None


class Patch(Wire, rename={"operations": "Operations"}):
    operations: list[PatchOperation] = []
    schemas: list[str] = []


class ListQuery(
    Wire,
    rename={
        "start_index": "startIndex", "excluded_attributes": "excludedAttributes", "sort_by": "sortBy", "sort_order": "sortOrder",
    },
):  # fmt: skip
    """`start_index` counts from 1. `attributes`: names with commas between them."""

    start_index: int = 1
    count: int = 10_000
    filter: str = ""
    attributes: str = ""
    excluded_attributes: str = ""
    sort_by: str = ""
    sort_order: str = "ascending"


class Search(
    Wire,
    rename={
        "start_index": "startIndex", "excluded_attributes": "excludedAttributes", "sort_by": "sortBy", "sort_order": "sortOrder",
    },
):  # fmt: skip
    """The body of `.search`: a list's parameters, with the names of attributes in lists."""

    schemas: list[str] = []
    start_index: int = 1
    count: int = 10_000
    filter: str = ""
    attributes: list[str] = []
    excluded_attributes: list[str] = []
    sort_by: str = ""
    sort_order: str = "ascending"


class GetQuery(Wire, rename={"excluded_attributes": "excludedAttributes"}):
    attributes: str = ""
    excluded_attributes: str = ""
