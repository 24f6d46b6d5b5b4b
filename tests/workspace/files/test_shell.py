"""`dbutils.fs` in the control plane: whose rights a copy of many files has."""

import pytest

from boathouse.workspace.files.shell import Shell
from boathouse.workspace.locations import LocationError, Locations, Reader


def test_a_copy_of_the_homes_takes_only_ones_own(store, blobs, make_user, ready):
    def shell(name):
        who, _ = make_user(name)
        locations = Locations(store, blobs)
        return Shell(store, blobs, locations, Reader(ready.home.workspace_id, name), who.principal_id)

    ann, eve = shell("ann@x.org"), shell("eve@x.org")
    ann.put("/Workspace/Users/ann@x.org/secret.txt", b"hers", False)
    eve.put("/Workspace/Users/eve@x.org/own.txt", b"mine", False)
    for source in ("/Workspace/Users", "/Workspace"):
        eve.cp(source, "dbfs:/loot", True)
    assert [found["name"] for found in eve.ls("dbfs:/loot")] == ["Users/", "eve@x.org/"]
    assert [found["name"] for found in eve.ls("dbfs:/loot/Users")] == ["eve@x.org/"]
    assert eve.read("dbfs:/loot/eve@x.org/own.txt", 0, 9) == b"mine"
    for call in (eve.mv, eve.cp):
        with pytest.raises(LocationError) as refused:
            call("/Workspace/Users/ann@x.org", "dbfs:/hers", True)
        assert refused.value.kind == "denied"
    with pytest.raises(LocationError):
        eve.mv("/Workspace/Users", "dbfs:/all", True)
    assert ann.read("/Workspace/Users/ann@x.org/secret.txt", 0, 9) == b"hers"
