"""The catalog through the real SDK: what a new workspace has, what a script for many people does, and who is kept out."""

import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service import catalog as c

P = c.Privilege


def grant(w, kind, name, who, *privileges, remove=()):
    return w.grants.update(kind, name, changes=[c.PermissionsChange(principal=who, add=list(privileges), remove=list(remove))])


def test_a_new_workspace_has_a_metastore_and_two_catalogs(w, ready):
    current, summary = w.metastores.current(), w.metastores.summary()
    assert (current.workspace_id, current.default_catalog_name) == (ready.home.workspace_id, "boathouse")
    assert (summary.metastore_id, summary.region, summary.owner) == (current.metastore_id, "us-west-2", "System user")
    assert summary.global_metastore_id == f"aws:us-west-2:{current.metastore_id}"
    assert [m.metastore_id for m in w.metastores.list()] == [w.metastores.get(current.metastore_id).metastore_id]
    own, main = w.catalogs.list()
    assert (main.name, main.owner, main.isolation_mode) == ("main", "System user", c.CatalogIsolationMode.OPEN)
    assert (own.name, own.isolation_mode) == ("boathouse", c.CatalogIsolationMode.ISOLATED)
    assert own.owner == f"_workspace_admins_boathouse_{ready.home.workspace_id}"
    assert [s.full_name for s in w.schemas.list("main")] == ["main.default"]
    assert w.workspace_bindings.get("boathouse").workspaces == [ready.home.workspace_id]


def test_a_schema_for_each_person(w, person):
    """The main job: every person uses their schema, and sees no other."""
    people = {name: person(f"{name}@x.org") for name in ("ann", "bob")}
    for name in people:
        made = w.schemas.create(name, "main", comment="private", properties={"a": "b"})
        assert (made.full_name, made.owner) == (f"main.{name}", "admin@boathouse.local")
        assert (made.comment, made.properties) == ("private", {"a": "b"})
        told = grant(w, "schema", made.full_name, f"{name}@x.org", P.USE_SCHEMA, P.CREATE_TABLE, P.CREATE_VOLUME)
        assert told.privilege_assignments == [
            c.PrivilegeAssignment(f"{name}@x.org", [P.CREATE_TABLE, P.CREATE_VOLUME, P.USE_SCHEMA])
        ]
    for name, sdk in people.items():
        assert [s.name for s in sdk.schemas.list("main")] == [name]
        assert sdk.schemas.get(f"main.{name}").schema_id
        made = sdk.volumes.create("main", name, "files", c.VolumeType.MANAGED)
        assert (made.full_name, made.owner) == (f"main.{name}.files", f"{name}@x.org")
        assert [v.name for v in sdk.volumes.list("main", name)] == ["files"]
    with pytest.raises(PermissionDenied, match="User does not have USE SCHEMA on Schema 'main.bob'."):
        people["ann"].schemas.get("main.bob")
    for ask in (
        lambda sdk: sdk.volumes.read("main.bob.files"), lambda sdk: list(sdk.volumes.list("main", "bob")),
        lambda sdk: sdk.volumes.create("main", "bob", "mine", c.VolumeType.MANAGED),
        lambda sdk: sdk.volumes.delete("main.bob.files"),
        lambda sdk: sdk.schemas.delete("main.bob", force=True), lambda sdk: sdk.schemas.update("main.bob", owner="ann@x.org"),
        lambda sdk: grant(sdk, "schema", "main.bob", "ann@x.org", P.USE_SCHEMA),
        lambda sdk: sdk.grants.get("schema", "main.bob"),
        lambda sdk: sdk.schemas.create("anns", "main"), lambda sdk: sdk.catalogs.create("anns"),
        lambda sdk: grant(sdk, "schema", "main.ann", "bob@x.org", P.USE_SCHEMA),
        lambda sdk: sdk.catalogs.delete("main", force=True),
        lambda sdk: sdk.catalogs.update("main", comment="mine"), lambda sdk: sdk.volumes.read("main.bob.none"),
        lambda sdk: sdk.workspace_bindings.get("main"), lambda sdk: sdk.metastores.get(w.metastores.current().metastore_id),
        lambda sdk: sdk.metastores.create("m"), lambda sdk: sdk.connections.create("k", c.ConnectionType.MYSQL, {"host": "h"}),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied):
            ask(people["ann"])


def test_grants_hold_for_groups_and_go_down(w, person, group):
    ann = person("ann@x.org")
    group("readers", "ann@x.org")
    w.catalogs.create("sales", comment="all of it")
    w.schemas.create("q1", "sales")
    columns = [c.ColumnInfo(name="id", type_name=c.ColumnTypeName.LONG, type_text="bigint", position=0)]
    w.tables.create("orders", "sales", "q1", c.TableType.MANAGED, c.DataSourceFormat.DELTA, "", columns=columns)
    with pytest.raises(PermissionDenied, match="USE CATALOG"):
        ann.tables.get("sales.q1.orders")
    assert [each.name for each in ann.catalogs.list()] == ["boathouse", "main"]
    grant(w, "CATALOG", "sales", "readers", P.USE_CATALOG, P.USE_SCHEMA)
    assert [each.name for each in ann.catalogs.list()] == ["boathouse", "main", "sales"]
    assert list(ann.tables.list("sales", "q1")) == [] and ann.tables.exists("sales.q1.no").table_exists is False
    grant(w, "schema", "sales.q1", "readers", P.SELECT)
    table = ann.tables.get("sales.q1.orders")
    assert (table.columns[0].name, table.table_type, table.owner) == ("id", c.TableType.MANAGED, "admin@boathouse.local")
    assert [t.full_name for t in ann.tables.list_summaries("sales")] == ["sales.q1.orders"]
    assert ann.tables.exists("sales.q1.orders").table_exists
    held = w.grants.get_effective("table", "sales.q1.orders").privilege_assignments
    assert [(e.privilege, e.inherited_from_type, e.inherited_from_name) for e in held[0].privileges] == [
        (P.SELECT, c.SecurableType.SCHEMA, "sales.q1"), (P.USE_CATALOG, c.SecurableType.CATALOG, "sales"),
        (P.USE_SCHEMA, c.SecurableType.CATALOG, "sales"),
    ]  # fmt: skip
    assert [a.principal for a in ann.grants.list_effective("table", "sales.q1.orders")] == ["readers"]
    assert w.grants.get("table", "sales.q1.orders").privilege_assignments in (None, [])
    grant(w, "schema", "sales.q1", "readers", remove=[P.SELECT])
    with pytest.raises(PermissionDenied, match="User does not have any privilege on Table 'sales.q1.orders'."):
        ann.tables.get("sales.q1.orders")
    grant(w, "catalog", "sales", "account users", P.BROWSE)
    assert ann.tables.get("sales.q1.orders", include_browse=True).browse_only is True
    assert [t.name for t in ann.tables.list("sales", "q1", include_browse=True)] == ["orders"]


def test_manage_owners_and_all_privileges(w, person):
    ann, bob = person("ann@x.org"), person("bob@x.org")
    w.catalogs.create("lab")
    grant(w, "catalog", "lab", "ann@x.org", P.ALL_PRIVILEGES)
    ann.schemas.create("s", "lab")
    with pytest.raises(PermissionDenied, match="does not have MANAGE"):
        grant(ann, "catalog", "lab", "bob@x.org", P.USE_CATALOG)
    grant(w, "catalog", "lab", "bob@x.org", P.MANAGE)
    grant(bob, "catalog", "lab", "bob@x.org", P.USE_CATALOG)  # who manages may give it to themselves
    assert bob.schemas.get("lab.s").owner == "ann@x.org"
    bob.schemas.update("lab.s", owner="bob@x.org", new_name="T", comment="now mine")
    renamed = bob.schemas.get("lab.t")
    assert (renamed.owner, renamed.comment, renamed.name) == ("bob@x.org", "now mine", "t")
    with pytest.raises(NotFound, match="Schema 'lab.s' does not exist."):
        bob.schemas.get("lab.s")
    w.catalogs.update("lab", new_name="lab2", owner="bob@x.org")
    assert [s.full_name for s in bob.schemas.list("lab2")] == ["lab2.default", "lab2.t"]
    with pytest.raises(BadRequest, match="Catalog 'lab2' is not empty: it has 2 catalogs|it has 2 schema"):
        bob.catalogs.delete("lab2")
    bob.catalogs.delete("lab2", force=True)
    with pytest.raises(NotFound, match="Catalog 'lab2' does not exist."):
        w.schemas.get("lab2.t")


def test_bad_input(w, person):
    person("ann@x.org")
    with pytest.raises(InvalidParameterValue, match='Field managedcatalog.CatalogInfo.name: name "a b" is not a valid name.'):
        w.catalogs.create("a b")
    with pytest.raises(ResourceConflict, match="Catalog 'main' already exists"):
        w.catalogs.create("MAIN")
    with pytest.raises(NotFound, match="Catalog 'no' does not exist."):
        w.schemas.create("s", "no")
    with pytest.raises(InvalidParameterValue, match="Duplicate privileges to add and delete for principal ann@x.org."):
        grant(w, "catalog", "main", "ann@x.org", P.SELECT, remove=[P.SELECT])
    with pytest.raises(InvalidParameterValue, match=r"READ_FILES is not applicable to this entity \[CATALOG\]"):
        grant(w, "catalog", "main", "ann@x.org", P.READ_FILES)
    with pytest.raises(NotFound, match="Could not find principal with name nobody@x.org"):
        grant(w, "catalog", "main", "nobody@x.org", P.SELECT)
    with pytest.raises(InvalidParameterValue, match="securable_type: 'thing'. Allowed: metastore, catalog"):
        w.grants.get("thing", "main")
    with pytest.raises(InvalidParameterValue, match="storage_location can not be provided"):
        w.volumes.create("main", "default", "v", c.VolumeType.MANAGED, storage_location="s3://b/x")
    with pytest.raises(InvalidParameterValue, match="max_results: 10 is not allowed"):
        w.grants.get("catalog", "main", max_results=10)
    with pytest.raises(NotFound, match="Volume 'main.default.v' does not exist."):
        w.volumes.read("main.default.v")
    with pytest.raises(InvalidParameterValue, match="is not a valid name of a schema"):
        w.schemas.get("main")


def test_pages(w, person):
    for number in range(5):
        w.schemas.create(f"s{number}", "main")
        person(f"u{number}@x.org")
    assert [s.name for s in w.schemas.list("main", max_results=2)] == ["default", "s0", "s1", "s2", "s3", "s4"]
    changes = [c.PermissionsChange(principal=f"u{n}@x.org", add=[P.USE_SCHEMA]) for n in range(5)]
    w.grants.update("schema", "main.s0", changes=changes)
    assert len(list(w.grants.list("schema", "main.s0", page_size=150))) == 5
    first = w.grants.get("schema", "main.s0", max_results=150)
    assert len(first.privilege_assignments) == 3 and first.next_page_token
    one = w.grants.get("schema", "main.s0", principal="u3@x.org").privilege_assignments
    assert [a.principal for a in one] == ["u3@x.org"]


def test_bindings(w, person, store, ready):
    boss = person("boss@x.org", groups=["admins"])
    boss.catalogs.create("shared")
    with pytest.raises(NotFound, match="Workspace 42 does not exist"):
        boss.workspace_bindings.update("shared", assign_workspaces=[42])
    boss.catalogs.update("shared", isolation_mode=c.CatalogIsolationMode.ISOLATED)
    bound = list(boss.workspace_bindings.get_bindings("catalog", "shared"))
    here = ready.home.workspace_id
    assert [(b.workspace_id, b.binding_type.value) for b in bound] == [(here, "BINDING_TYPE_READ_WRITE")]
    read_only = c.WorkspaceBinding(here, binding_type=c.WorkspaceBindingBindingType.BINDING_TYPE_READ_ONLY)
    boss.workspace_bindings.update_bindings("catalog", "shared", add=[read_only])
    with pytest.raises(PermissionDenied, match="bound to the current workspace read-only"):
        boss.schemas.create("s", "shared")
    boss.workspace_bindings.update("shared", unassign_workspaces=[here])
    with pytest.raises(PermissionDenied, match="Catalog 'shared' is not accessible in current workspace"):
        boss.catalogs.get("shared")
    assert "shared" not in [each.name for each in boss.catalogs.list()]
    assert "shared" in [each.name for each in boss.catalogs.list(include_unbound=True)]
    boss.workspace_bindings.update("shared", assign_workspaces=[here])
    assert boss.schemas.create("s", "shared").owner == "boss@x.org"


def test_a_metastore_can_be_taken_away(w):
    current = w.metastores.current()
    w.metastores.update_assignment(current.workspace_id, default_catalog_name="main")
    assert w.metastores.current().default_catalog_name == "main"
    w.metastores.unassign(current.workspace_id, current.metastore_id)
    with pytest.raises(NotFound, match="No metastore assigned for the current workspace"):
        w.catalogs.list().__next__()
    w.metastores.assign(current.workspace_id, current.metastore_id, "main")
    assert len(list(w.catalogs.list())) == 2
    with pytest.raises(ResourceConflict, match="there is one for each region"):
        w.metastores.create("second")
    other = w.metastores.create("europe", region="eu-west-1")
    assert (other.region, other.owner) == ("eu-west-1", "admin@boathouse.local")
    assert w.metastores.update(other.metastore_id, new_name="eu").name == "eu"
    w.metastores.delete(other.metastore_id)
    assert len(list(w.metastores.list())) == 1
