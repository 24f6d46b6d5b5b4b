"""The timeline as the API gives it: launches, the latest first, their steps in order, and not for everybody."""

from sqlalchemy import insert

from boathouse.compute.tables import timeline


def test_timeline(cluster_api, store):
    made = cluster_api.create()
    rows = [
        {"launch": 1, "step": "nodes", "node": "a", "started": 10, "ended": 30, "outcome": "ok", "details": {"n": 1}},
        {"launch": 1, "step": "wish", "node": "", "started": 5, "ended": 5, "outcome": "info", "details": {}},
        {"launch": 2, "step": "nodes", "node": "", "started": 50, "ended": None, "outcome": "ok", "details": {}},
    ]
    with store.transaction() as tx:
        tx.execute(insert(timeline), [{"cluster_id": made, **row} for row in rows])
    answer = cluster_api.api.get(f"/api/2.0/boathouse/clusters/{made}/timeline").json()
    assert (answer["cluster_id"], answer["state"]) == (made, "PENDING")
    assert [launch["launch"] for launch in answer["launches"]] == [2, 1]
    assert answer["launches"][0]["steps"] == [{"step": "nodes", "started": 50, "outcome": "ok", "details": {}}]
    assert answer["launches"][1]["steps"] == [
        {"step": "wish", "started": 5, "ended": 5, "duration_ms": 0, "outcome": "info", "details": {}},
        {"step": "nodes", "node": "a", "started": 10, "ended": 30, "duration_ms": 20, "outcome": "ok", "details": {"n": 1}},
    ]
    unknown = cluster_api.api.get("/api/2.0/boathouse/clusters/nope/timeline")
    assert unknown.status_code == 400 and unknown.json()["message"] == "Cluster nope does not exist"
