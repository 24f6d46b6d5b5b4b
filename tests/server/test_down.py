"""`boathouse down` on a directory that no server holds."""

from sqlalchemy import insert

from boathouse.compute.tables import clusters
from boathouse.server import opened
from boathouse.server.control import ControlPlane
from boathouse.server.down import down
from boathouse.settings import load

SPEC = {"spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": 0}


def row(workspace_id, cluster_id, wish):
    return {
        "cluster_id": cluster_id, "workspace_id": workspace_id, "name": "", "creator_id": 1, "creator": "ann@x.org",
        "editor": "ann@x.org", "source": "API", "created_at": 1, "spec": SPEC, "wish": wish, "wished_launch": 1,
        "wish_reason": None, "state": "TERMINATING" if wish == "deleted" else "PENDING", "state_message": "", "launch": 0,
        "start_time": 1, "facts": {}, "version": 0,
    }  # fmt: skip


def test_clusters_that_were_deleted_for_good_and_still_end_are_waited_for(tmp_path):
    settings = load({"data": str(tmp_path / "data"), "cache": str(tmp_path / "cache"), "driver": "simulated"}, {})
    with opened(settings) as parts, parts.store.transaction() as tx:
        home = parts.ready.home.workspace_id
        rows = [row(home, "0101-000000-aaaaaaaa", "running"), row(home, "0101-000000-bbbbbbbb", "deleted")]
        tx.execute(insert(clusters), rows)
    said: list[str] = []
    assert down(settings, said.append) == (["0101-000000-aaaaaaaa"], [])
    assert (said[0], said[-1]) == ("look at what is there", "remove what is left on the machine")
    assert "wait for the end of 2: 0101-000000-aaaaaaaa, 0101-000000-bbbbbbbb" in said
    with opened(settings) as parts, parts.store.read() as reader:
        assert reader.execute(clusters.select()).mappings().one()["state"] == "TERMINATED"


def test_a_directory_that_a_deletion_cut_off_at_birth_goes_too(tmp_path):
    settings = load({"data": str(tmp_path / "data"), "cache": str(tmp_path / "cache"), "driver": "simulated"}, {})
    orphan = tmp_path / "data" / "nodes" / "0101-000000-cccccccc-0-1"
    with opened(settings) as parts:
        (orphan / "logs").mkdir(parents=True)
        (orphan / "token").write_text("x")
        ControlPlane(parts).sweep_everything()  # not started: nothing else sweeps
    assert not orphan.exists()
