"""GRANT and the like from the driver's session: with the capability of the context, as the principal whose context it is."""

import pytest

from boathouse.relay.failures import Refused

NODE = "1123-153000-abcdefgh-0-1"


@pytest.fixture
def ask(control, open_shell, jvm):
    """`ask(statement)`: as the driver of an SQL context asks the control plane."""
    jvm.answers["SELECT 1"] = {"state": "finished", "schema": [], "data": [], "truncated": False}
    shell = open_shell("sql")
    shell.run("SELECT 1")
    calls = jvm.calls_of[shell.context]
    assert calls["socket"] == "/run/boathouse/node.sock"
    method = control.contexts.capabilities.node_methods()["catalog.sql"]
    mine = calls["capability"]
    return lambda statement, node=NODE, capability=mine: method(node, {"statement": statement}, capability)


def test_an_admin_grants_and_shows(ask, make_user):
    make_user("eve@x.org")
    assert ask("GRANT USE SCHEMA ON SCHEMA main.default TO `eve@x.org`") == {}
    assert ["eve@x.org", "USE SCHEMA", "SCHEMA", "main.default"] in ask("SHOW GRANTS ON SCHEMA main.default")["rows"]
    ask("REVOKE USE SCHEMA ON SCHEMA main.default FROM `eve@x.org`")
    assert "eve@x.org" not in str(ask("SHOW GRANTS ON SCHEMA main.default"))


def test_what_is_refused(ask):
    with pytest.raises(Refused, match="Could not find principal with name nobody"):
        ask("GRANT SELECT ON SCHEMA main.default TO nobody")
    with pytest.raises(Refused, match="'FLY' is not a privilege"):
        ask("GRANT FLY ON SCHEMA main.default TO nobody")
    for more in ({"capability": "guess"}, {"node": "1123-153000-other000-0-1"}, {"capability": ""}):
        with pytest.raises(Refused, match="not part of a command context"):
            ask("SHOW GRANTS ON CATALOG main", **more)
