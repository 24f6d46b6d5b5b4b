"""SCIM resources as they travel (`/api/2.0/preview/scim/v2/*`), with SCIM's own attribute names."""

from typing import Any

from boathouse.wire.base import Wire


class Value(Wire, rename={"ref": "$ref"}):
    """An entry of a multi-valued attribute: an entitlement, an e-mail address, a member, a group."""

    value: str
    display: str | None = None
    primary: bool | None = None
    type: str | None = None
    ref: str | None = None


class Name(Wire, rename={"given_name": "givenName", "family_name": "familyName"}):
    given_name: str | None = None
    family_name: str | None = None


class CreateUser(Wire, rename={"user_name": "userName", "display_name": "displayName", "external_id": "externalId"}):
    user_name: str
    schemas: list[str] = []
    display_name: str | None = None
    active: bool = True
    name: Name | None = None
    emails: list[Value] = []
    entitlements: list[Value] = []
    external_id: str | None = None
    groups: list[Value] = []
    roles: list[Value] = []
    id: str | None = None


class CreateServicePrincipal(
    Wire, rename={"application_id": "applicationId", "display_name": "displayName", "external_id": "externalId"}
):
    schemas: list[str] = []
    application_id: str | None = None
    display_name: str | None = None
    active: bool = True
    entitlements: list[Value] = []
    external_id: str | None = None
    groups: list[Value] = []
    roles: list[Value] = []
    id: str | None = None


class CreateGroup(Wire, rename={"display_name": "displayName", "external_id": "externalId"}):
    display_name: str
    schemas: list[str] = []
    members: list[Value] = []
    entitlements: list[Value] = []
    external_id: str | None = None
    groups: list[Value] = []
    roles: list[Value] = []
    meta: dict[str, Any] | None = None
    id: str | None = None


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


class GetQuery(Wire, rename={"excluded_attributes": "excludedAttributes"}):
    attributes: str = ""
    excluded_attributes: str = ""
