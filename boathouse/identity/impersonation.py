"""Who may be a service principal: whoever has a secret or a token of one is it, everywhere that it may go.

An admin of a workspace may bring every service principal of the account in, so being its admin is not enough: it must be nothing
outside of the workspaces that the admin has. Admins of the account, and whom they made its manager, need not ask here.
"""

from sqlalchemy import select

from boathouse.identity import departures, principals, roles
from boathouse.identity.principals import Principal
from boathouse.identity.tables import ACCOUNT_LEVEL, account_roles, role_grants
from boathouse.store import Reader


def beyond(reader: Reader, robot: Principal, admin_id: int) -> str | None:
    """What a service principal is that an admin of workspaces (by id) is not, in words; None where there is nothing."""
    ids = [robot.principal_id, *(group.group_id for group in principals.groups_of(reader, robot.principal_id, ACCOUNT_LEVEL))]
    on_itself = role_grants.c.resource == roles.service_principal(robot.account_id, robot.name)
    for held in (
        select(account_roles.c.role).where(account_roles.c.principal_id.in_(ids)),
        select(role_grants.c.role).where(role_grants.c.principal_id.in_(ids), ~on_itself),
    ):
        role = reader.execute(held.limit(1)).scalar_one_or_none()
        if role is not None:
            return f"it has the role {role} in the account"
    for workspace_id in departures.workspaces_of(reader, robot):
        if not principals.is_admin(reader, admin_id, workspace_id):
            return "it is in another workspace too"
    return None
