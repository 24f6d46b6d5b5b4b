"""Two workspaces of one region have one metastore; each has a catalog of its own that is closed in the other, to admins too."""

import pytest
from sqlalchemy import insert

from boathouse.catalog import access, assignment
from boathouse.catalog.access import Asker
from boathouse.edge.errors import ApiError
from boathouse.identity import principals, registry
from boathouse.identity.tables import workspaces

OTHER, ABROAD = 4242424242424242, 4343434343434343


@pytest.fixture
def asker(store, ready):
    """`asker(workspace_id)`: an admin of that workspace and of nothing else."""
    account = ready.home.account_id
    with store.transaction() as tx:
        for workspace_id, cloud in ((OTHER, "aws"), (ABROAD, "azure")):
            row = {"workspace_id": workspace_id, "account_id": account, "name": "Other one", "cloud": cloud}
            tx.execute(insert(workspaces).values(**row, deployment_name=f"other-{cloud}", created_at=1 << 41))
            for group in (principals.ADMINS, principals.USERS):
                registry.create(tx, account, principals.GROUP, group, workspace_id=workspace_id)

    def make(workspace_id: int) -> Asker:
        access.provide(store, workspace_id)
        name = f"boss-{workspace_id}@x.org"
        with store.transaction() as tx:
            made = registry.create(tx, account, principals.USER, name)
            for group in (principals.ADMINS, principals.USERS):
                found = principals.by_name(tx, account, group, [principals.GROUP], workspace_id)
                registry.add_member(tx, found.principal_id, made.principal_id)
            return access.of_principal(tx, workspace_id, made.principal_id, name)

    return make


def seen(store, who):
    with store.read() as reader:
        return [found.it.name for found in access.below(reader, access.metastore(reader, who), "CATALOG")]


def test_they_share_a_metastore_and_not_their_catalogs(store, ready, asker):
    first, second = asker(ready.home.workspace_id), asker(OTHER)
    assert first.metastore.metastore_id == second.metastore.metastore_id
    assert (first.metastore.default_catalog, second.metastore.default_catalog) == ("boathouse", "other_one")
    assert (seen(store, first), seen(store, second)) == (["boathouse", "main"], ["main", "other_one"])
    with store.read() as reader:
        access.look(reader, first, "CATALOG", "main").manage()
        for name in ("main", "boathouse"):
            with pytest.raises(ApiError) as refused:
                access.look(reader, second, "CATALOG", name).manage()
            assert refused.value.status == 403
        with pytest.raises(ApiError, match="is not accessible in current workspace"):
            access.look(reader, second, "CATALOG", "boathouse").see()
        access.metastore(reader, second).use("CREATE_CATALOG")


def test_another_region_has_another_metastore(store, ready, asker):
    first, abroad = asker(ready.home.workspace_id), asker(ABROAD)
    assert abroad.metastore.metastore_id != first.metastore.metastore_id
    assert (abroad.metastore.cloud, abroad.metastore.region) == ("azure", "westus")
    with store.transaction() as tx:  # a second time nothing changes
        assert assignment.provide(tx, ABROAD) == abroad.metastore
