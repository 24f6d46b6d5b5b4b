"""Admins and the tokens of others, by the real SDK; and what a token that ends does to a call that is under way."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.common.types.fieldmask import FieldMask
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceDoesNotExist
from databricks.sdk.service.settings import PublicTokenInfo, TokenInfo

from boathouse.auth import credentials
from boathouse.auth.authenticator import Authenticator
from boathouse.edge.context import Ctx
from boathouse.edge.errors import ApiError
from boathouse.identity import registry

MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.tokens", "boathouse.auth.token_management",
    "boathouse.auth.discovery", "boathouse.workspace.conf",
)  # fmt: skip


@pytest.fixture
def host(served):
    return served(*MODULES)


@pytest.fixture
def w(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


def test_an_admin_sees_gives_and_ends_tokens(w, host, make_user, ready):
    ann, token = make_user("ann@x.org")
    hers = WorkspaceClient(host=host, token=token)
    made = hers.tokens.create(comment="laptop", lifetime_seconds=3600)
    (seen,) = [info for info in w.token_management.list(created_by_username="Ann@x.org") if info.comment == "laptop"]
    assert (seen.token_id, seen.owner_id, seen.created_by_id) == (made.token_info.token_id, ann.principal_id, ann.principal_id)
    assert seen.created_by_username == "ann@x.org" and seen.workspace_id == ready.home.workspace_id
    assert seen.expiry_time == made.token_info.expiry_time
    assert {info.token_id for info in w.token_management.list(created_by_id=ann.principal_id)} >= {seen.token_id}
    assert w.token_management.get(seen.token_id).token_info == seen
    changed = w.token_management.update_token_management(seen.token_id, TokenInfo(comment="old laptop"), FieldMask(["comment"]))
    assert changed.comment == "old laptop"
    value = WorkspaceClient(host=host, token=made.token_value)
    assert value.current_user.me().user_name == "ann@x.org"
    w.token_management.delete(seen.token_id)
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        value.current_user.me()
    with pytest.raises(ResourceDoesNotExist):
        w.token_management.get(seen.token_id)


def test_on_behalf_of_a_service_principal(w, host):
    robot = w.service_principals.create(display_name="robot")
    made = w.token_management.create_obo_token(robot.application_id, comment="ci", lifetime_seconds=600)
    assert made.token_info.expiry_time - made.token_info.creation_time == 600_000
    assert made.token_info.owner_id == int(robot.id) and made.token_info.created_by_username == w.current_user.me().user_name
    its = WorkspaceClient(host=host, token=made.token_value)
    assert its.current_user.me().display_name == "robot"
    assert [token.comment for token in its.tokens.list()] == ["ci"]
    with pytest.raises(NotFound, match="application id nobody"):
        w.token_management.create_obo_token("nobody")


def test_the_workspaces_limits_hold_for_them_too(w):
    robot = w.service_principals.create(display_name="robot")
    w.workspace_conf.set_status({"maxTokenLifetimeDays": "30"})
    with pytest.raises(InvalidParameterValue, match="30 days"):
        w.token_management.create_obo_token(robot.application_id, lifetime_seconds=31 * 86400)
    made = w.token_management.create_obo_token(robot.application_id)
    assert made.token_info.expiry_time - made.token_info.creation_time == 30 * 86_400_000


def test_only_admins(w, host, make_user):
    _, token = make_user("ann@x.org")
    hers = WorkspaceClient(host=host, token=token)
    known = next(iter(w.token_management.list())).token_id
    for call in (
        lambda: list(hers.token_management.list()),
        lambda: hers.token_management.get(known),
        lambda: hers.token_management.delete(known),
        lambda: hers.token_management.update_token_management(known, TokenInfo(comment="x"), FieldMask(["comment"])),
        lambda: hers.token_management.create_obo_token("x"),
    ):
        with pytest.raises(PermissionDenied):
            call()


def test_the_bootstrap_token_stays(w):
    (known,) = [info for info in w.token_management.list() if info.comment == "bootstrap token"]
    with pytest.raises(BadRequest, match="boathouse token rotate"):
        w.token_management.delete(known.token_id)


def test_ones_own_comment(w, make_user, host):
    made = w.tokens.create(comment="a")
    w.tokens.update(made.token_info.token_id, PublicTokenInfo(comment="b"), FieldMask(["comment"]))
    assert "b" in [info.comment for info in w.tokens.list()]
    with pytest.raises(InvalidParameterValue, match="update_mask"):
        w.tokens.update(made.token_info.token_id, PublicTokenInfo(comment="b"), FieldMask(["expiry_time"]))
    _, token = make_user("ann@x.org")
    with pytest.raises(ResourceDoesNotExist):
        WorkspaceClient(host=host, token=token).tokens.update(
            made.token_info.token_id, PublicTokenInfo(comment="c"), FieldMask(["comment"])
        )


@pytest.fixture
def under_way(store, keys, ready, make_user):
    """A request of Ann's that has been let in and has written nothing yet."""
    ann, token = make_user("ann@x.org")
    authenticate = Authenticator(store, keys)
    caller = authenticate({"authorization": f"Bearer {token}"}, "h")
    return ann, Ctx(store=store, caller=caller, confirm=authenticate.confirm)


def test_a_token_that_is_revoked_in_the_middle_of_a_request_writes_nothing_more(store, under_way):
    ann, ctx = under_way
    with ctx.transaction() as tx:
        registry.create(tx, ann.account_id, "group", "before")
    with store.transaction() as tx:
        credentials.end(tx, ctx.caller.token_id)
    with pytest.raises(ApiError, match=r"Invalid access token\."), ctx.transaction() as tx:
        registry.create(tx, ann.account_id, "group", "after")
    with store.read() as reader:
        assert [row.action for row in reader.exec_driver_sql("SELECT action FROM audit")] == ["internal"]
        assert [row[0] for row in reader.exec_driver_sql("SELECT name FROM principals WHERE name IN ('before', 'after')")] == [
            "before"
        ]


def test_a_user_who_is_disabled_in_the_middle_of_a_request_writes_nothing_more(store, under_way):
    ann, ctx = under_way
    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
    with pytest.raises(ApiError), ctx.transaction():
        raise AssertionError("it was let in")


def test_a_token_that_expires_in_the_middle_of_a_request_does_not_end_it(store, keys, ready, clock):
    with store.transaction() as tx:
        value, _ = credentials.issue(tx, keys, credentials.PAT, ready.home.admin_id, lifetime_ms=1000)
    authenticate = Authenticator(store, keys)
    ctx = Ctx(store=store, caller=authenticate({"authorization": f"Bearer {value}"}, "h"), confirm=authenticate.confirm)
    clock.advance(2000)
    with ctx.transaction():
        pass
