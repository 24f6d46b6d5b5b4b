"""Volumes of a database that knew no catalog become the catalog's, with their owners, their files, and the admins' rights."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from boathouse.auth.bootstrap import bootstrap
from boathouse.auth.keys import Keys
from boathouse.catalog import access
from boathouse.identity import principals, registry
from boathouse.identity.bootstrap import Founding
from boathouse.store import Store
from boathouse.store.blobs import Blobs
from boathouse.store.schema import MIGRATIONS
from boathouse.workspace.files.tree import Denied, member
from boathouse.workspace.files.volume_tree import VolumeTree


def _to(store, revision):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.transaction() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)


NODE = (
    "INSERT INTO files (workspace_id, tree, path, parent, kind, language, size, digest, owner_id, created_at, modified_at) "
    "VALUES (:w, :tree, :path, :parent, :kind, '', 1, :digest, :owner, 0, 0)"
)


@pytest.fixture
def old(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'boathouse.db'}")
    _to(store, "0016")
    yield store
    store.close()


def test_files_keep_their_names_their_owner_and_their_readers(old, tmp_path):
    home = bootstrap(old, Keys(tmp_path / "keys"), Founding()).home
    blobs = Blobs(tmp_path / "blobs")
    blob = blobs.put([b"x"])
    with old.transaction() as tx:
        for name, groups in (("ann@x.org", ("users",)), ("boss@x.org", ("users", "admins")), ("bob@x.org", ("users",))):
            made = registry.create(tx, home.account_id, principals.USER, name)
            for group in groups:
                found = principals.by_name(tx, home.account_id, group, [principals.GROUP], home.workspace_id)
                registry.add_member(tx, found.principal_id, made.principal_id)
        ann = principals.by_name(tx, home.account_id, "ann@x.org")
        for path in ("/main", "/main/default", "/main/default/data", "/main/default/data/a", "/main/default/data/a/f"):
            file = path.endswith("/f")
            values = {"w": home.workspace_id, "path": path, "parent": path.rpartition("/")[0] or "/", "tree": "volumes"}
            values |= {"kind": "file" if file else "directory", "digest": blob.digest if file else None}
            values |= {"owner": ann.principal_id}
            tx.execute(text(NODE), values)
        tx.execute(text(NODE), {**values, "tree": "dbfs", "path": "/main/default/f", "parent": "/main/default"})
    _to(old, "head")

    def tree(name):
        with old.read() as reader:
            return VolumeTree(old, blobs, home.workspace_id, member(reader, home.workspace_id, name))

    tree("ann@x.org").prepare("/main")
    for name in ("boss@x.org", "admin@boathouse.local", "ann@x.org"):
        node, chunks = tree(name).open("/Main/default/data/a/f")
        assert (node.path, b"".join(chunks)) == ("/main/default/data/a/f", b"x")
        with old.read() as reader:
            assert [each.path for each in tree(name).list(reader, "/main/default")] == ["/main/default/data"]
    with pytest.raises(Denied):
        tree("bob@x.org").open("/main/default/data/a/f")
    with old.read() as reader:
        asker = access.of_principal(reader, home.workspace_id, ann.principal_id, "ann@x.org")
        assert access.look(reader, asker, "VOLUME", "main.default.data").it.owner_id == ann.principal_id
        assert reader.execute(text("SELECT path FROM files WHERE tree = 'dbfs'")).all() == [("/main/default/f",)]
        assert reader.execute(text("SELECT count(*) FROM securables WHERE full_name = 'main'")).scalar() == 1
