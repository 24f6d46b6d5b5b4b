"""IP access lists of workspace and account by the real SDK, which comes from several addresses through a named proxy."""

import importlib
import ipaddress

import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service.settings import AccountIpAccessEnable, BooleanMessage, ListType
from hypothesis import given
from hypothesis import strategies as st

from boathouse.auth import ip_gate
from boathouse.auth.authenticator import Authenticator
from boathouse.auth.ip_access_lists import MOST
from boathouse.cli import main
from boathouse.edge.app import Edge
from boathouse.edge.routing import Routes
from boathouse.edge.sources import Sources
from boathouse.server import opened
from boathouse.settings import load
from tests.conftest import serving

HOME, ELSEWHERE = "203.0.113.7", "198.51.100.9"
MODULES = (
    "boathouse.identity.me", "boathouse.auth.discovery", "boathouse.auth.ip_access_lists", "boathouse.auth.tokens",
    "boathouse.workspace.conf", "boathouse.auth.client_secrets",
)  # fmt: skip


@pytest.fixture
def host(store, keys, ready, services):
    routes = Routes([importlib.import_module(name) for name in MODULES])
    edge = Edge(routes, store, Authenticator(store, keys), services, threads=4, sources=Sources(["127.0.0.1"]))
    with serving(edge) as url:
        yield url
    edge.close()


@pytest.fixture
def at(host, ready):
    """`at(address)`: the admin's client, calling from there."""
    return lambda address, token=None: WorkspaceClient(
        config=Config(host=host, token=token or ready.token, custom_headers={"X-Forwarded-For": address})
    )


@pytest.fixture
def a(host, ready):
    """`a(address)`: the account admin's client."""
    return lambda address: AccountClient(
        config=Config(host=host, account_id=ready.home.account_id, token=ready.token, custom_headers={"X-Forwarded-For": address})
    )


def test_an_allow_list_holds_when_it_is_switched_on_and_at_once(at, ready):
    w, other = at(HOME), at(ELSEWHERE)
    made = w.ip_access_lists.create("office", ListType.ALLOW, ip_addresses=["203.0.113.0/24", "2001:db8::/32"]).ip_access_list
    assert (made.address_count, made.enabled, made.created_by) == (2, True, ready.home.admin_id)
    assert other.current_user.me().user_name
    w.workspace_conf.set_status({"enableIpAccessLists": "true"})
    refused = f"Source IP address: {ELSEWHERE} is blocked by Databricks IP ACL for workspace: {ready.home.workspace_id}"
    with pytest.raises(PermissionDenied, match=refused):
        other.current_user.me()
    assert w.current_user.me().user_name and at("2001:db8::1").current_user.me().user_name
    w.ip_access_lists.update(made.list_id, ip_addresses=["203.0.113.0/24", ELSEWHERE])
    assert other.current_user.me().user_name
    w.ip_access_lists.update(made.list_id, ip_addresses=["203.0.113.0/24"])
    with pytest.raises(PermissionDenied):
        other.current_user.me()
    w.workspace_conf.set_status({"enableIpAccessLists": "false"})
    assert other.current_user.me().user_name


def test_block_wins(at):
    w = at(HOME)
    w.ip_access_lists.create("all", ListType.ALLOW, ip_addresses=["0.0.0.0/0"])
    w.ip_access_lists.create("bad", ListType.BLOCK, ip_addresses=[ELSEWHERE])
    w.workspace_conf.set_status({"enableIpAccessLists": "true"})
    with pytest.raises(PermissionDenied):
        at(ELSEWHERE).current_user.me()
    w.current_user.me()
    with pytest.raises(PermissionDenied):
        at(f"::ffff:{ELSEWHERE}").current_user.me()


def test_nobody_shuts_himself_out(at):
    w = at(HOME)
    own = w.ip_access_lists.create("own", ListType.ALLOW, ip_addresses=[HOME]).ip_access_list
    rest = w.ip_access_lists.create("rest", ListType.ALLOW, ip_addresses=[ELSEWHERE]).ip_access_list
    for change in (
        lambda: w.ip_access_lists.create("x", ListType.BLOCK, ip_addresses=["203.0.113.0/24"]),
        lambda: w.ip_access_lists.update(own.list_id, enabled=False),
        lambda: w.ip_access_lists.update(own.list_id, ip_addresses=[ELSEWHERE]),
        lambda: w.ip_access_lists.update(own.list_id, list_type=ListType.BLOCK),
        lambda: w.ip_access_lists.replace(own.list_id, "own", ListType.ALLOW, True, ip_addresses=[]),
        lambda: w.ip_access_lists.delete(own.list_id),
    ):
        with pytest.raises(BadRequest, match=f"would block your own address, {HOME}"):
            change()
    assert w.ip_access_lists.get(own.list_id).ip_access_list == own
    assert {found.label for found in w.ip_access_lists.list()} == {"own", "rest"}
    with pytest.raises(BadRequest, match="your own address"):
        at("192.0.2.1").workspace_conf.set_status({"enableIpAccessLists": "true"})
    assert w.workspace_conf.get_status("enableIpAccessLists") == {"enableIpAccessLists": None}
    w.ip_access_lists.delete(rest.list_id)
    w.ip_access_lists.delete(own.list_id)
    assert list(w.ip_access_lists.list()) == []


def test_an_address_that_anybody_can_write_is_not_believed(store, keys, ready, services, at):
    at(HOME).ip_access_lists.create("office", ListType.ALLOW, ip_addresses=[HOME])
    at(HOME).workspace_conf.set_status({"enableIpAccessLists": "true"})
    routes = Routes([importlib.import_module(name) for name in MODULES])
    edge = Edge(routes, store, Authenticator(store, keys), services, threads=4)  # no proxy is named
    with serving(edge) as url:
        w = WorkspaceClient(config=Config(host=url, token=ready.token, custom_headers={"X-Forwarded-For": HOME}))
        with pytest.raises(PermissionDenied, match=r"Source IP address: 127\.0\.0\.1 is blocked"):
            w.current_user.me()
    edge.close()
    with pytest.raises(PermissionDenied):
        at(f"{HOME}, {ELSEWHERE}").current_user.me()  # the first entry is the caller's own invention


def test_the_accounts_lists_hold_for_the_accounts_api(at, a, ready):
    ours, theirs = a(HOME), a(ELSEWHERE)
    made = ours.ip_access_lists.create("office", ListType.ALLOW, ip_addresses=[HOME]).ip_access_list
    assert [found.label for found in theirs.ip_access_lists.list()] == ["office"]
    setting = ours.settings.enable_ip_access_lists.get()
    assert setting.acct_ip_acl_enable.value is False
    on = AccountIpAccessEnable(acct_ip_acl_enable=BooleanMessage(True), etag=setting.etag)
    with pytest.raises(BadRequest, match="your own address"):
        theirs.settings.enable_ip_access_lists.update(True, on, "acct_ip_acl_enable.value")
    now = ours.settings.enable_ip_access_lists.update(True, on, "acct_ip_acl_enable.value")
    assert now.acct_ip_acl_enable.value is True
    with pytest.raises(ResourceConflict):
        ours.settings.enable_ip_access_lists.update(True, on, "acct_ip_acl_enable.value")
    refused = f"Source IP address: {ELSEWHERE} is blocked by Databricks IP ACL for account: {ready.home.account_id}"
    with pytest.raises(PermissionDenied, match=refused):
        list(theirs.ip_access_lists.list())
    assert at(ELSEWHERE).current_user.me().user_name  # a workspace has lists of its own
    assert list(at(HOME).ip_access_lists.list()) == []
    with pytest.raises(BadRequest, match="your own address"):
        ours.ip_access_lists.replace(made.list_id, "office", ListType.ALLOW, True, ip_addresses=[ELSEWHERE])
    ours.settings.enable_ip_access_lists.delete()
    assert [found.label for found in theirs.ip_access_lists.list()] == ["office"]


def test_what_may_not_be(at, make_user):
    w = at(HOME)
    for addresses in (["1.2.3"], ["10.0.0.0/33"], ["host.example"], [HOME, ""]):
        with pytest.raises(InvalidParameterValue, match="ip_addresses"):
            w.ip_access_lists.create("x", ListType.BLOCK, ip_addresses=addresses)
    with pytest.raises(InvalidParameterValue, match="label"):
        w.ip_access_lists.create(" ", ListType.BLOCK)
    with pytest.raises(NotFound, match="Can't find an IP access list with id: x"):
        w.ip_access_lists.get("x")
    many = [str(ipaddress.ip_address("10.0.0.0") + number) for number in range(MOST)]
    w.ip_access_lists.create("many", ListType.BLOCK, ip_addresses=many)
    with pytest.raises(BadRequest, match="1000 addresses"):
        w.ip_access_lists.create("more", ListType.BLOCK, ip_addresses=["10.9.9.9"])
    _, token = make_user("ann@x.org")
    hers = at(HOME, token)
    for call in (
        lambda: list(hers.ip_access_lists.list()),
        lambda: hers.ip_access_lists.create("x", ListType.ALLOW),
        lambda: hers.ip_access_lists.delete("x"),
    ):
        with pytest.raises(PermissionDenied):
            call()


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6, network="2001:db8::/32")).map(str)


@given(st.lists(addresses, max_size=4), st.lists(addresses, max_size=4), addresses)
def test_block_first_then_allow(allow, block, source):
    gate = ip_gate.gate([("ALLOW", True, allow), ("BLOCK", True, block), ("BLOCK", False, [source])])
    assert gate.admits(source) == (source not in block and (not allow or source in allow))


@pytest.mark.parametrize(
    ("allow", "source", "in_"),
    [(["10.0.0.0/8"], "10.1.2.3", True), (["10.0.0.1/8"], "10.1.2.3", True), (["::ffff:10.0.0.0/104"], "10.1.2.3", True),
     (["10.0.0.0/8"], "::ffff:10.1.2.3", True), (["10.0.0.0/8"], "", False), ([], "", True), (["::/0"], "10.0.0.1", False)],
)  # fmt: skip
def test_networks(allow, source, in_):
    assert ip_gate.gate([("ALLOW", True, allow)]).admits(source) == in_


def test_unlock_lets_everybody_in_again(capsys, tmp_path):
    data = str(tmp_path / "data")
    with opened(load({"data": data}, {})) as parts:
        from boathouse.identity import workspaces

        home = parts.ready.home
        with parts.store.transaction() as tx:
            workspaces.set_conf(tx, home.workspace_id, ip_gate.SWITCH, "true")
        with parts.store.read() as reader:
            assert ip_gate.in_force(reader, home.account_id, home.workspace_id) is not None
    assert main(["unlock", "--data", data]) == 0
    assert "switched off" in capsys.readouterr().out
    with opened(load({"data": data}, {})) as parts, parts.store.read() as reader:
        assert ip_gate.in_force(reader, home.account_id, home.workspace_id) is None
