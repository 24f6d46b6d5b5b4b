"""`/api/2.0/token/*` (reference api E)."""

import re

import pytest

from boathouse.auth import tokens
from boathouse.edge.errors import ApiError

DAY = 86_400


@pytest.fixture
def api(api_of):
    return api_of("boathouse.auth.tokens", "boathouse.identity.me", "boathouse.workspace.conf")


def test_made_shown_once_listed_used_and_deleted(api, make_user, clock):
    _, token = make_user("ann@x.org")
    answer = api.post("/api/2.0/token/create", json={"comment": "ci", "lifetime_seconds": 60}, token=token).json()
    value, info = answer["token_value"], answer["token_info"]
    assert re.fullmatch(r"dapi[0-9a-f]{32}", value) and re.fullmatch(r"[0-9a-f]{64}", info["token_id"])
    assert info == {
        "token_id": info["token_id"], "comment": "ci", "creation_time": clock(), "expiry_time": clock() + 60_000,
    }  # fmt: skip
    listed = api.get("/api/2.0/token/list", token=value)
    assert info in listed.json()["token_infos"] and value not in listed.text
    assert api.post("/api/2.0/token/delete", json={"token_id": info["token_id"]}, token=token).json() == {}
    assert api.get("/api/2.0/preview/scim/v2/Me", token=value).status_code == 403


def test_for_ever_is_minus_one(api):
    info = api.post("/api/2.0/token/create", json={}).json()["token_info"]
    assert (info["expiry_time"], info["comment"]) == (-1, "")


def test_expired_tokens_are_not_listed(api, clock):
    made = api.post("/api/2.0/token/create", json={"lifetime_seconds": 1}).json()["token_info"]
    clock.advance(1000)
    assert made["token_id"] not in api.get("/api/2.0/token/list").text


def test_only_ones_own(api, make_user):
    _, ann = make_user("ann@x.org")
    _, bob = make_user("bob@x.org")
    made = api.post("/api/2.0/token/create", json={}, token=ann).json()["token_info"]["token_id"]
    refused = api.post("/api/2.0/token/delete", json={"token_id": made}, token=bob)
    assert (refused.status_code, refused.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert made not in api.get("/api/2.0/token/list", token=bob).text


def test_the_bootstrap_token_cannot_be_deleted(api):
    (known,) = api.get("/api/2.0/token/list").json()["token_infos"]
    refused = api.post("/api/2.0/token/delete", json={"token_id": known["token_id"]})
    assert refused.json()["error_code"] == "INVALID_STATE" and "boathouse token rotate" in refused.json()["message"]


@pytest.mark.parametrize(
    "body",
    [{"lifetime_seconds": 0}, {"lifetime_seconds": -2}, {"lifetime_seconds": "60"}, {"lifetime_seconds": 10**15},
     {"comment": "x" * 1025}, {"scopes": ["sql"]}, {"autoscope_enabled": True}, {"comments": "x"}, {"comment": 5}],
)  # fmt: skip
def test_refusals_name_the_field(api, body):
    refused = api.post("/api/2.0/token/create", json=body)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert f"'{next(iter(body))}'" in refused.json()["message"]


@pytest.mark.parametrize(
    ("asked", "max_days", "given"),
    [(None, 0, None), (-1, 0, None), (60, 0, 60), (None, 90, 90 * DAY), (60, 90, 60), (90 * DAY, 90, 90 * DAY)],
)
def test_lifetimes(asked, max_days, given):
    assert tokens.lifetime(asked, max_days) == given


@pytest.mark.parametrize(("asked", "max_days"), [(-1, 90), (90 * DAY + 1, 90), (0, 0), (-5, 0)])
def test_lifetimes_that_may_not_be(asked, max_days):
    with pytest.raises(ApiError, match="lifetime_seconds"):
        tokens.lifetime(asked, max_days)


def test_the_workspaces_limit_is_honoured(api, clock):
    api.patch("/api/2.0/workspace-conf", json={"maxTokenLifetimeDays": "1"})
    refused = api.post("/api/2.0/token/create", json={"lifetime_seconds": DAY + 1})
    assert "1 days (86400 seconds) at most" in refused.json()["message"]
    assert api.post("/api/2.0/token/create", json={}).json()["token_info"]["expiry_time"] == clock() + DAY * 1000


def test_switched_off(api):
    api.patch("/api/2.0/workspace-conf", json={"enableTokensConfig": "false"})
    refused = api.post("/api/2.0/token/create", json={})
    assert (refused.status_code, refused.json()["error_code"]) == (403, "FEATURE_DISABLED")


def test_the_quota(api, make_user, monkeypatch):
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    _, token = make_user("ann@x.org")
    assert api.post("/api/2.0/token/create", json={}, token=token).status_code == 200
    assert api.post("/api/2.0/token/create", json={}, token=token).json()["error_code"] == "QUOTA_EXCEEDED"


def test_no_value_is_in_database_or_audit(api, store, tmp_path):
    value = api.post("/api/2.0/token/create", json={}).json()["token_value"]
    store.close()
    assert value.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("boathouse.db*"))
