"""Roles that principals have on things of the account, as rule sets give them: what other rooms ask, and the SQL under them."""

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from boathouse.identity.tables import principals as principals_table
from boathouse.identity.tables import role_grants, rule_sets
from boathouse.store import Reader, Tx

SERVICE_PRINCIPAL_MANAGER, SERVICE_PRINCIPAL_USER = "roles/servicePrincipal.manager", "roles/servicePrincipal.user"
GROUP_MANAGER = "roles/group.manager"
BILLING_ADMIN = "roles/billing.admin"


def account(account_id: str) -> str:
    """The account as a resource."""
    return f"accounts/{account_id}"


def service_principal(account_id: str, application_id: str) -> str:
    """A service principal as a resource."""
    return f"accounts/{account_id}/servicePrincipals/{application_id}"


def group(account_id: str, group_id: int) -> str:
    """A group of the account as a resource."""
    return f"accounts/{account_id}/groups/{group_id}"


def has(reader: Reader, ids: Iterable[int], resource: str, role: str) -> bool:
    """Whether one of these principals (a caller's `ids`) has the role on the resource."""
    mine = (role_grants.c.resource == resource) & (role_grants.c.role == role) & role_grants.c.principal_id.in_(list(ids))
    return reader.execute(select(role_grants.c.role).where(mine).limit(1)).first() is not None


def version(reader: Reader, resource: str) -> int:
    """How often the resource's rule set was written."""
    return reader.execute(select(rule_sets.c.version).where(rule_sets.c.resource == resource)).scalar_one_or_none() or 0


def grants(reader: Reader, resource: str) -> list[tuple[str, str, str]]:
    """(role, kind, name) of all that have a role on the resource, in that order; principals that are gone have none."""
    rows = reader.execute(
        select(role_grants.c.role, principals_table.c.kind, principals_table.c.name)
        .join(principals_table, principals_table.c.principal_id == role_grants.c.principal_id)
        .where(role_grants.c.resource == resource)
        .order_by(role_grants.c.role, principals_table.c.kind, principals_table.c.name)
    )
    return [(row.role, row.kind, row.name) for row in rows]


def replace(tx: Tx, resource: str, wanted: set[tuple[str, int]]) -> None:
    """Give exactly these (role, principal id) on the resource, and count its version up."""
    now = version(tx, resource) + 1
    tx.execute(delete(role_grants).where(role_grants.c.resource == resource))
    tx.execute(delete(rule_sets).where(rule_sets.c.resource == resource))
    tx.execute(insert(rule_sets).values(resource=resource, version=now))
    for role, principal_id in sorted(wanted):
        tx.execute(insert(role_grants).values(resource=resource, role=role, principal_id=principal_id))
