"""`/api/2.0/permissions/authorization/{tokens|passwords}`: who may have personal access tokens, and log in with a password.

Until a list is first written, every member of the workspace may; admins always. Only admins, and whom they let manage it, read
and change it. Whoever loses it loses it at once: tokens that are there are refused, not deleted, and hold again with the
permission.
"""

from boathouse.auth.permissions import kinds, lists, served
from boathouse.auth.permissions.kinds import CAN_MANAGE, Grant, ObjectType
from boathouse.edge.caller import Caller
from boathouse.edge.errors import ApiError, denied
from boathouse.identity import principals, workspaces
from boathouse.store import Reader

CAN_USE = "CAN_USE"


def _everybody(reader: Reader, workspace_id: int, object_id: str) -> list[Grant]:
    workspace = workspaces.get(reader, workspace_id)
    users = workspace and principals.by_name(reader, workspace.account_id, principals.USERS, [principals.GROUP], workspace_id)
    return [Grant(users.principal_id, CAN_USE)] if users else []


def _declared(word: str, use: str, manage: str) -> ObjectType:
    return kinds.declare(
        ObjectType(
            f"authorization/{word}",
            word,
            ((CAN_USE, use), (CAN_MANAGE, manage)),
            lambda reader, caller, object_id: word,
            initial=_everybody,
            single=True,
            lists_to_managers=True,
            decides_callers=True,
        )
    )


TOKENS = _declared("tokens", "Can make and use personal access tokens", "Can also change who may")
PASSWORDS = _declared("passwords", "Can log in with a password", "Can also change who may")


def may_use(reader: Reader, caller: Caller, kind: ObjectType) -> bool:
    """Whether the caller may use tokens or passwords in its workspace."""
    return lists.allows(reader, caller, kind.name, kind.word, CAN_USE)


def may_log_in(reader: Reader, user: principals.Principal, workspace_id: int) -> bool:
    """Whether a user may log in with a password at a workspace; one that is not in it is nothing that it decides."""
    groups = principals.groups_of(reader, user.principal_id, workspace_id)
    system = {group.name for group in groups if group.workspace_id == workspace_id}
    if not system & {principals.ADMINS, principals.USERS}:
        return True
    ids = frozenset(group.group_id for group in groups)
    admin = principals.ADMINS in system
    return may_use(reader, Caller(user.principal_id, user.name, user.kind, workspace_id, admin, group_ids=ids), PASSWORDS)


def refuse_without_tokens(reader: Reader, caller: Caller) -> None:
    """Raises the ApiError (403) of a caller who may have no personal access tokens."""
    if not may_use(reader, caller, TOKENS):
        raise no_tokens(caller.name)


def no_tokens(name: str) -> ApiError:
    """403: somebody without CAN_USE on tokens."""
    return denied(f"{name} does not have permission to use tokens. Please contact an administrator for access.")


get_of_tokens, set_of_tokens, update_of_tokens, levels_of_tokens = served.endpoints(TOKENS, __name__, action="tokens")
get_of_passwords, set_of_passwords, update_of_passwords, levels_of_passwords = served.endpoints(
    PASSWORDS, __name__, action="passwords"
)
