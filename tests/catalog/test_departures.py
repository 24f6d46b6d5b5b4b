"""What becomes of grants and of what somebody owned when they leave, by the unmodified SDK."""

import pytest
from databricks.sdk import AccountClient
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.service import catalog as c
from sqlalchemy import select

from boathouse.account.closing import Closing
from boathouse.catalog.tables import grants
from boathouse.identity import principals, workspaces
from boathouse.identity.tables import workspaces as workspaces_table
from boathouse.server.control import DEPARTURE_MODULES
from tests.catalog.conftest import CATALOG

P = c.Privilege
SCIM = ("boathouse.identity.me", "boathouse.identity.scim", "boathouse.identity.scim_account", "boathouse.auth.discovery")


@pytest.fixture
def host(served):
    return served(*SCIM, *CATALOG, *DEPARTURE_MODULES)


@pytest.fixture
def account(host, ready):
    return AccountClient(host=host, token=ready.token, account_id=ready.home.account_id)


def owned_by(w, name):
    """A catalog and a schema of somebody's, who has a grant on the catalog `main` besides."""
    w.catalogs.create("lab")
    w.schemas.create("s", "lab")
    w.schemas.update("lab.s", owner=name)
    w.catalogs.update("lab", owner=name)
    change = c.PermissionsChange(principal=name, add=[P.USE_CATALOG, P.CREATE_SCHEMA])
    w.grants.update("catalog", "main", changes=[change])


def granted(w):
    """Who was granted something on `main`, beside all users and the workspace's admins, who are from the beginning."""
    names = {each.principal for each in w.grants.get("catalog", "main").privilege_assignments or []}
    return {name for name in names if name != "account users" and not name.startswith("_workspace_admins_")}


def test_who_leaves_the_account_owns_nothing_and_is_granted_nothing(w, account, make_user, person, store):
    ann, _ = make_user("ann@x.org")
    bob = person("bob@x.org")
    owned_by(w, "ann@x.org")
    w.metastores.update(w.metastores.current().metastore_id, owner="ann@x.org")
    account.users.delete(str(ann.principal_id))
    assert granted(w) == set()
    assert w.catalogs.get("lab").owner == w.schemas.get("lab.s").owner == "System user"
    assert w.catalogs.get("lab").updated_by == "admin@boathouse.local"
    assert w.metastores.summary().owner == "System user"
    w.schemas.update("lab.s", owner="bob@x.org")  # the account's admins are the metastore's again
    with pytest.raises(PermissionDenied):
        bob.catalogs.update("lab", comment="mine?")
    with store.read() as reader:
        assert not reader.execute(select(grants).where(grants.c.principal_id == ann.principal_id)).all()


def test_who_leaves_a_workspace_keeps_what_is_the_accounts(w, make_user):
    ann, _ = make_user("ann@x.org")
    owned_by(w, "ann@x.org")
    w.users.delete(str(ann.principal_id))
    assert granted(w) == {"ann@x.org"}
    assert w.catalogs.get("lab").owner == "ann@x.org"


def test_a_group_that_is_removed_is_granted_nothing(w, account, group):
    readers = group("readers")
    owned_by(w, "readers")
    account.groups.delete(str(readers.principal_id))
    assert granted(w) == set()
    assert w.schemas.get("lab.s").owner == "System user"


def test_the_groups_of_a_workspace_that_ends_are_granted_nothing(w, ready, store):
    w.catalogs.get("main")  # the workspace's own catalog is made with it, and is its admins'
    home = ready.home.workspace_id
    with store.transaction() as tx:
        groups = [principals.by_name(tx, ready.home.account_id, name, [principals.GROUP], home) for name in ("admins", "users")]
        ids = {each.principal_id for each in groups if each is not None}
        assert tx.execute(select(grants).where(grants.c.principal_id.in_(ids))).all()
        tx.execute(workspaces_table.update().values(status=workspaces.CANCELLING))
    Closing(store)(str(home))
    with store.read() as reader:
        assert not reader.execute(select(grants).where(grants.c.principal_id.in_(ids))).all()
