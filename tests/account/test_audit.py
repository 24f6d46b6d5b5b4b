"""The audit log: read by admins, delivered as files of JSON lines of which none is lost or doubled."""

import json

import pytest
from sqlalchemy import insert

from boathouse.account import audit_delivery
from boathouse.account.audit_delivery import AuditDelivery
from boathouse.edge.tables import audit


@pytest.fixture
def written(store, ready, clock):
    def write(count, workspace_id=None, **more):
        row = {"at": clock(), "workspace_id": ready.home.workspace_id if workspace_id is None else workspace_id,
               "principal": "ann@x.org", "action": "clusters.create", "request_id": "r", "status": 200, "source": "1.2.3.4",
               "request": '{"cluster_name": "x", "num_workers": 2}', **more}  # fmt: skip
        with store.transaction() as tx:
            tx.execute(insert(audit), [row] * count)

    return write


def test_reading(api_of, modules, ready, written, make_user, clock):
    api, root = api_of(*modules), "/api/2.0/boathouse"
    account = f"{root}/accounts/{ready.home.account_id}/audit"
    written(3)
    written(1, workspace_id=0, action="workspaces.create", principal="bob@x.org")
    written(1, workspace_id=99)
    entries = api.get(account).json()["entries"]
    assert [entry["workspaceId"] for entry in entries[:2]] == ["99", "0"]
    assert entries[0] == {
        "version": "2.0", "auditLevel": "WORKSPACE_LEVEL", "timestamp": clock(), "accountId": ready.home.account_id,
        "workspaceId": "99", "sourceIPAddress": "1.2.3.4", "userIdentity": {"email": "ann@x.org"}, "serviceName": "clusters",
        "actionName": "create", "requestId": "r", "requestParams": {"cluster_name": "x", "num_workers": "2"},
        "response": {"statusCode": 200},
    }  # fmt: skip
    assert entries[1]["auditLevel"] == "ACCOUNT_LEVEL"
    assert {entry["workspaceId"] for entry in api.get(f"{root}/audit").json()["entries"]} == {str(ready.home.workspace_id)}
    assert len(api.get(account, params={"principal": "bob@x.org"}).json()["entries"]) == 1
    assert len(api.get(account, params={"action": "clusters.create"}).json()["entries"]) == 4
    assert api.get(account, params={"end_time": clock()}).json()["entries"] == []
    _, token = make_user("eve@x.org")
    assert api.get(account, token=token).status_code == api.get(f"{root}/audit", token=token).status_code == 403
    assert api.get(f"{root}/audit", params={"workspace_id": 99}).status_code == 400
    assert api.get(account, params={"page_size": 0}).status_code == 400


def test_pages_end(api_of, modules, ready, written):
    written(5)
    api, path = api_of(*modules), f"/api/2.0/boathouse/accounts/{ready.home.account_id}/audit"
    seen, token = [], None
    while True:
        page = api.get(path, params={"page_size": 2, **({"page_token": token} if token else {})}).json()
        seen += page["entries"]
        token = page.get("next_page_token")
        if not token:
            break
    assert len(seen) == 5
    assert api.get(path, params={"page_token": "x"}).status_code == 400


def lines(folder):
    return [json.loads(line) for file in sorted(folder.rglob("*.json")) for line in file.read_text().splitlines()]


def test_delivery(store, ready, written, clock, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_delivery, "MOST", 3)
    deliver = AuditDelivery(store, ready.home.account_id, tmp_path / "audit")
    written(4)
    assert deliver("all").again_in == audit_delivery.EVERY and lines(tmp_path) == []  # too young
    clock.advance(audit_delivery.SETTLED_MS)
    assert deliver("all").again_in == 0
    assert deliver("all").again_in == audit_delivery.EVERY
    assert len(lines(tmp_path)) == 4 and len(list(tmp_path.rglob("*.json"))) == 2
    assert lines(tmp_path)[0]["serviceName"] == "clusters"
    deliver("all")
    assert len(lines(tmp_path)) == 4
    (file, _) = sorted(tmp_path.rglob("*.json"))
    assert file.stat().st_mode & 0o077 == 0 and file.parent.name.startswith("date=")


def test_killed_before_the_position_is_stored(store, ready, written, clock, tmp_path, monkeypatch):
    written(2)
    clock.advance(audit_delivery.SETTLED_MS)
    deliver = AuditDelivery(store, ready.home.account_id, tmp_path / "audit")
    plain = store.transaction
    monkeypatch.setattr(store, "transaction", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deliver("all")
    monkeypatch.setattr(store, "transaction", plain)
    written(1)
    clock.advance(audit_delivery.SETTLED_MS)
    deliver("all")
    assert len(lines(tmp_path)) == 3


def test_a_folder_that_cannot_be_written(store, ready, written, clock, tmp_path):
    written(1)
    clock.advance(audit_delivery.SETTLED_MS)
    (tmp_path / "file").write_text("")
    deliver = AuditDelivery(store, ready.home.account_id, tmp_path / "file")
    assert deliver("all").again_in == audit_delivery.EVERY
    (tmp_path / "file").unlink()
    deliver("all")
    assert len(lines(tmp_path / "file")) == 1
