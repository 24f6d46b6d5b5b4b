"""The first account, workspace and admin of an empty data directory. Called once a start; a second time it finds what
is there."""

import uuid

import msgspec
from sqlalchemy import insert, select

from boathouse.identity import principals, registry, workspaces
from boathouse.identity.tables import accounts
from boathouse.identity.tables import principals as principals_table
from boathouse.store import Reader, Store


class Founding(msgspec.Struct, frozen=True):
    """What to make when there is nothing yet. Later starts do not look at it."""

    admin: str = "admin@boathouse.local"
    workspace_name: str = "boathouse"
    deployment_name: str = "boathouse"
    cloud: str = "aws"
    account_id: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))
    workspace_id: int = msgspec.field(default_factory=registry.new_id)


class Home(msgspec.Struct, frozen=True):
    """The first workspace and the admin who may do everything."""

    account_id: str
    workspace_id: int
    admin_id: int
    admin: str
    cloud: str


def found(store: Store, founding: Founding) -> Home:
    """Make account, workspace, system groups and admin in one transaction, or find those of an earlier start."""
    with store.read() as reader:
        home = _home(reader)
    if home is not None:
        return home
    with store.transaction() as tx:
        home = _home(tx)
        if home is not None:  # another process was quicker
            return home
        now = store.clock()
        tx.execute(insert(accounts).values(account_id=founding.account_id, created_at=now))
        groups = registry.create_workspace(
            tx, founding.account_id, founding.workspace_name, founding.deployment_name, founding.cloud, founding.workspace_id
        )
        admin = registry.create(tx, founding.account_id, principals.USER, founding.admin, bootstrap=True)
        for group in groups.values():
            registry.add_member(tx, group.principal_id, admin.principal_id)
        registry.grant_account_role(tx, admin.principal_id, principals.ACCOUNT_ADMIN)
        return Home(founding.account_id, founding.workspace_id, admin.principal_id, admin.name, founding.cloud)


def _home(reader: Reader) -> Home | None:
    workspace = workspaces.first(reader)
    if workspace is None:
        return None
    admin = reader.execute(
        select(principals_table.c.principal_id, principals_table.c.name).where(
            principals_table.c.account_id == workspace.account_id, principals_table.c.bootstrap.is_(True)
        )
    ).one()
    return Home(workspace.account_id, workspace.workspace_id, admin.principal_id, admin.name, workspace.cloud)
