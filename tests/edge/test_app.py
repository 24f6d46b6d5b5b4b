"""From socket to answer: shapes of refusals, the audit, headers, and what is thrown at it."""

import asyncio
import logging
import re

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from boathouse.edge.context import REDACTED, redact
from boathouse.edge.tables import audit


def test_answers_carry_a_request_id_and_json(api):
    answer = api.post("/toys/create", json={"name": "a"})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert answer.headers["content-type"] == "application/json"
    assert api.post("/toys/nothing").content == b"{}"
    gone = api.delete("/toys/x")
    assert (gone.status_code, gone.content, gone.headers["x-gone"]) == (204, b"", "x")
    assert "content-type" not in gone.headers


def test_other_versions_of_a_path(api):
    assert api.post("/old/toys/create", json={"name": "a"}).json() == {"name": "a"}


def test_literal_paths_come_before_patterns(api):
    assert api.get("/toys/list").json() == {}
    assert api.get("/toys/filesystem").status_code == 400  # {id}, not the tail
    assert api.get("/toys/files/a/b%20c").json() == {"path": "/a/b c"}


def test_async_endpoints_are_authenticated_too(api):
    assert api.get("/toys/named/x").json() == {"name": "x", "caller": "admin@boathouse.local"}
    assert api.get("/toys/named/x", token=None).status_code == 401


def test_without_a_credential_only_what_is_public_answers(api):
    assert api.post("/toys/form", data={"a": "b c"}, token=None).json() == {"a": "b c"}
    refused = api.post("/toys/create", json={"name": "a"}, token=None)
    assert refused.json() == {
        "error_code": 401, "message": "Credential was not sent or was of an unsupported type for this API.",
    }  # fmt: skip
    assert api.get("/api/2.2/jobs/list", token=None).status_code == 401


def test_who_may_not_call_is_told_so_before_what_is_wrong_with_the_body(api):
    assert api.post("/toys/create", content=b"nope", token=None).status_code == 401


def test_bugs_are_told_by_the_request_id_and_nothing_else(api, caplog):
    with caplog.at_level(logging.CRITICAL, "boathouse.edge"):
        answer = api.post("/toys/break", json={"name": "a"})
    assert (answer.status_code, answer.json()) == (500, {"oops": 500})
    assert "secret detail" not in answer.text


def test_refusals_may_carry_headers_and_a_shape_of_their_own(api):
    answer = api.post("/toys/break", json={"name": "reason"})
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (409, {"oops": 409}, "1")


def test_a_store_that_does_not_answer_is_503(api, store, monkeypatch):
    def locked():
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    monkeypatch.setattr(store, "transaction", locked)
    answer = api.post("/toys/create", json={"name": "a"})
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


def rows(store):
    with store.read() as reader:
        return reader.execute(select(audit).order_by(audit.c.id)).mappings().all()


def test_the_record_names_the_object_in_the_path(api, store):
    assert api.post("/toys/a%20b/audited").status_code == 200
    assert rows(store)[0]["request"] == '{"name":"a b"}'


def test_every_change_leaves_one_record(api, store, clock, ready):
    answer = api.post("/toys/create", json={"name": "a", "password": "hunter2", "inner": {"name": "i"}})
    (row,) = rows(store)
    assert dict(row) | {"id": 0} == {
        "id": 0, "at": clock(), "workspace_id": ready.home.workspace_id, "principal": "admin@boathouse.local",
        "action": "edge_toys.create", "request_id": answer.headers["x-request-id"], "status": 200, "source": "127.0.0.1",
        "request": '{"name":"a","inner":{"name":"i"},"password":"[REDACTED]"}',
    }  # fmt: skip


def test_a_change_that_fails_leaves_none_and_one_without_the_right_does(api, store):
    api.post("/toys/create", json={})
    assert rows(store) == []
    assert api.post("/toys/refuse").status_code == 403
    (row,) = rows(store)
    assert (row["action"], row["status"]) == ("toys.refuse", 403)


def test_redaction_at_any_depth():
    sent = {"a": [{"password": "x", "b": {"client_secret": {"deep": 1}}}], "password": "{{secrets/a/b}}"}
    assert redact(sent) == {
        "a": [{"password": REDACTED, "b": {"client_secret": REDACTED}}], "password": "{{secrets/a/b}}",
    }  # fmt: skip


def test_the_access_log_has_no_query(api, caplog):
    with caplog.at_level(logging.INFO, "boathouse.access"):
        api.get("/toys/list?filter_by.name=private")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "boathouse.access"]
    assert line.startswith("GET /toys/list 200") and "admin@boathouse.local" in line and "private" not in line


def test_a_path_cannot_write_lines_of_its_own_into_the_access_log(api, caplog):
    with caplog.at_level(logging.INFO, "boathouse.access"):
        api.get("/api/2.0/x%0a2026-01-01%20forged")
    assert len([record for record in caplog.records if record.name == "boathouse.access"]) == 1
    assert "\n" not in caplog.text.rstrip("\n")


def test_a_client_that_goes_away_is_no_bug(api, caplog):
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/toys/create", "headers": [], "query_string": b""}
    with caplog.at_level(logging.ERROR, "boathouse.edge"):
        asyncio.run(api.edge(scope, receive, send))
    assert sent[0]["status"] == 400 and not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_front_takes_requests_away_by_their_host(api):
    async def elsewhere(scope, receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"teapot"})

    api.edge.front = lambda scope, headers, source: elsewhere if headers["host"].endswith(".apps.localhost") else None
    assert api.get("/toys/list", base_url="http://c1.apps.localhost").status_code == 418
    assert api.get("/toys/list").status_code == 200


def test_many_callers_at_once(api, toys):
    import httpx

    async def run():
        transport = httpx.ASGITransport(api.edge)
        headers = {"Authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://h", headers=headers) as client:
            return await asyncio.gather(*(client.get(f"/toys/{number}") for number in range(100)))

    answers = asyncio.run(run())
    assert [answer.json()["id"] for answer in answers] == list(range(100))


@pytest.mark.parametrize("host", ["", "::", "a" * 5000, "\xff"])
def test_hosts_that_are_none(api, host):
    assert api.get("/toys/list", headers={"Host": host.encode("latin-1")}).status_code == 200
