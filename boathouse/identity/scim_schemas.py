"""What attributes users, service principals and groups have in SCIM: one declaration that filters, paths, refusals and the
discovery endpoints (RFC 7643 7, RFC 7644 4) read. Pure."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from boathouse.identity.principals import ACCOUNT_ADMIN, GROUP, SERVICE_PRINCIPAL, USER

CORE = "urn:ietf:params:scim:schemas:core:2.0:"

ENTITLEMENTS = (
    "allow-cluster-create", "allow-instance-pool-create", "databricks-sql-access", "workspace-access", "workspace-consume",
)  # fmt: skip

#: Roles that the account gives out.
ACCOUNT_ROLES = (ACCOUNT_ADMIN,)

#: SCIM's names of the kinds of principals.
WORD = {USER: "User", SERVICE_PRINCIPAL: "ServicePrincipal", GROUP: "Group"}


class Attribute(msgspec.Struct, frozen=True):
    """An attribute, or a sub-attribute. `exact`: compared with regard to case. `many`: it has several values."""

    name: str
    type: str = "string"
    many: bool = False
    mutability: str = "readWrite"
    required: bool = False
    exact: bool = False
    unique: bool = False
    values: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    description: str = ""
    sub: tuple["Attribute", ...] = ()

    def inside(self, name: str) -> "Attribute | None":
        """The sub-attribute of this name, without regard to case."""
        return next((inner for inner in self.sub if inner.name.lower() == name.lower()), None)

    def document(self) -> dict[str, Any]:
        """As the Schemas endpoint shows it."""
        body: dict[str, Any] = {
            "name": self.name, "type": self.type, "multiValued": self.many, "description": self.description,
            "required": self.required, "caseExact": self.exact, "mutability": self.mutability, "returned": "default",
            "uniqueness": "server" if self.unique else "none",
        }  # fmt: skip
        if self.values:
            body["canonicalValues"] = list(self.values)
        if self.references:
            body["referenceTypes"] = list(self.references)
        if self.sub:
            body["subAttributes"] = [inner.document() for inner in self.sub]
        return body


_COMMON = (
    Attribute("schemas", many=True, mutability="readOnly"),
    Attribute("id", mutability="readOnly", exact=True, unique=True),
    Attribute("externalId", exact=True),
    Attribute(
        "meta", "complex", mutability="readOnly",
        sub=(Attribute("resourceType", mutability="readOnly"), Attribute("location", "reference", mutability="readOnly")),
    ),
)  # fmt: skip

_GROUPS = Attribute(
    "groups", "complex", many=True, mutability="readOnly", description="The groups it is in, directly or through others.",
    sub=(
        Attribute("value", mutability="readOnly", exact=True),
        Attribute("display", mutability="readOnly"),
        Attribute("$ref", "reference", mutability="readOnly", exact=True, references=("Group",)),
        Attribute("type", mutability="readOnly", values=("direct", "indirect")),
    ),
)  # fmt: skip

_ENTITLED = Attribute(
    "entitlements", "complex", many=True, description="What it may do in the workspace besides permissions on objects.",
    sub=(Attribute("value", values=ENTITLEMENTS),),
)  # fmt: skip

_ROLES = {
    False: Attribute(
        "roles", "complex", many=True, description="ARNs of instance profiles.",
        sub=(Attribute("value", exact=True, values=("arn:aws:iam::123456789012:instance-profile/example",)),),
    ),
    True: Attribute(
        "roles", "complex", many=True, description="Roles in the account.",
        sub=(Attribute("value", values=ACCOUNT_ROLES),),
    ),
}  # fmt: skip

_ACTIVE = Attribute("active", "boolean", required=True, description="Whether it may call.")

_OWN: dict[str, tuple[Attribute, ...]] = {
    USER: (
        Attribute("userName", required=True, unique=True, mutability="immutable", description="An e-mail address."),
        Attribute("displayName", description="The name to show."),
        Attribute("name", "complex", sub=(Attribute("givenName"), Attribute("familyName"))),
        Attribute(
            "emails", "complex", many=True,
            sub=(
                Attribute("value"), Attribute("display"), Attribute("type", values=("work", "home", "other")),
                Attribute("primary", "boolean"),
            ),
        ),
        _ACTIVE,
    ),
    SERVICE_PRINCIPAL: (
        Attribute("applicationId", required=True, unique=True, mutability="immutable", description="A UUID."),
        Attribute("displayName", description="The name to show."),
        _ACTIVE,
    ),
    GROUP: (
        Attribute("displayName", required=True, unique=True, description="The name of the group."),
        Attribute(
            "members", "complex", many=True, description="Its direct members.",
            sub=(
                Attribute("value", mutability="immutable", exact=True, description="The id of the member."),
                Attribute("display", mutability="readOnly"),
                Attribute(
                    "$ref", "reference", mutability="immutable", exact=True, references=("User", "Group", "ServicePrincipal")
                ),
            ),
        ),
    ),
}  # fmt: skip


@cache
def attributes(kind: str, account: bool) -> Mapping[str, Attribute]:
    """All attributes of a kind, by lower-cased name. `account`: in the account's SCIM, where nobody has entitlements."""
    return {attribute.name.lower(): attribute for attribute in (*_COMMON, *_own(kind, account))}


def _own(kind: str, account: bool) -> tuple[Attribute, ...]:
    return (*_OWN[kind], _GROUPS, *(() if account else (_ENTITLED,)), _ROLES[account])


def schema(kind: str, account: bool) -> dict[str, Any]:
    """The Schema document of a kind."""
    return _schema(CORE + WORD[kind], WORD[kind], _own(kind, account))


def _schema(urn: str, name: str, of: tuple[Attribute, ...]) -> dict[str, Any]:
    return {
        "schemas": [CORE + "Schema"], "id": urn, "name": name, "description": name,
        "attributes": [attribute.document() for attribute in of],
        "meta": {"resourceType": "Schema", "location": f"Schemas/{urn}"},
    }  # fmt: skip


def _fixed(name: str, type: str = "string", *sub: Attribute, many: bool = False, required: bool = True) -> Attribute:
    return Attribute(name, type, many=many, mutability="readOnly", required=required, sub=sub)


_SUPPORTED = _fixed("supported", "boolean")


def discovery_schemas() -> list[dict[str, Any]]:
    """The Schema documents of the discovery endpoints themselves (RFC 7643 8.7.2)."""
    flags = [_fixed(name, "complex", _SUPPORTED) for name in ("patch", "changePassword", "sort", "etag")]
    bulk = _fixed("bulk", "complex", _SUPPORTED, _fixed("maxOperations", "integer"), _fixed("maxPayloadSize", "integer"))
    filters = _fixed("filter", "complex", _SUPPORTED, _fixed("maxResults", "integer"))
    schemes = [_fixed(name) for name in ("type", "name", "description")]
    described = [
        *(_fixed(name) for name in ("name", "type")), _fixed("multiValued", "boolean"),
        *(_fixed(name, required=False) for name in ("description", "mutability", "returned", "uniqueness")),
        *(_fixed(name, "boolean", required=False) for name in ("required", "caseExact")),
        *(_fixed(name, many=True, required=False) for name in ("canonicalValues", "referenceTypes")),
    ]  # fmt: skip
    inner = _fixed("subAttributes", "complex", *described, many=True, required=False)
    extended = _fixed("schemaExtensions", "complex", _fixed("schema"), _SUPPORTED, many=True, required=False)
    return [
        _schema(
            CORE + "ServiceProviderConfig", "ServiceProviderConfig",
            (*flags, bulk, filters, _fixed("authenticationSchemes", "complex", *schemes, many=True)),
        ),
        _schema(
            CORE + "ResourceType", "ResourceType",
            (*(_fixed(name) for name in ("id", "name", "endpoint", "schema")), _fixed("description", required=False), extended),
        ),
        _schema(
            CORE + "Schema", "Schema",
            (
                *(_fixed(name) for name in ("id", "name")), _fixed("description", required=False),
                _fixed("attributes", "complex", *described, inner, many=True),
            ),
        ),
    ]  # fmt: skip
