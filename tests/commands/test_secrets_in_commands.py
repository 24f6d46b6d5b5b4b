"""Secrets in commands: read with the owner's rights at that moment, and kept out of results."""

import json

import pytest
from sqlalchemy import select

from boathouse.commands.tables import commands
from boathouse.compute.endpoint import NotServing

SECRETS = "boathouse.workspace.secrets"


@pytest.fixture
def vault(api_of):
    """The secrets API as the bootstrap admin, with one secret."""
    api = api_of(SECRETS)
    assert api.post("/api/2.0/secrets/scopes/create", json={"scope": "box"}).status_code == 200
    put(api, "key", "pass-word-1")
    return api


def put(api, key, value):
    answer = api.post("/api/2.0/secrets/put", json={"scope": "box", "key": key, "string_value": value})
    assert answer.status_code == 200, answer.text


def test_a_command_reads_secrets_and_does_not_show_them(open_shell, vault, store):
    shell = open_shell("python")
    assert shell.run("v = dbutils.secrets.get('box', 'key'); len(v)")["results"]["data"] == "11\n"
    assert shell.run("print('it is', v)")["results"]["data"] == "it is [REDACTED]\n"
    assert shell.run("raise ValueError(v)")["results"]["summary"] == "ValueError: [REDACTED]"
    assert shell.run("dbutils.secrets.list('box'), dbutils.secrets.listScopes()")["results"]["data"] == (
        "([SecretMetadata(key='key')], [SecretScope(name='box')])\n"
    )
    missing = shell.run("dbutils.secrets.get('box', 'other')")["results"]
    assert "does not exist" in missing["summary"]
    with store.read() as reader:
        assert "pass-word-1" not in json.dumps([list(map(str, row)) for row in reader.execute(select(commands))])


def test_values_of_the_launch_and_of_before_a_restart_are_redacted(open_shell, vault, control, jvm):
    shell = open_shell("python")
    shell.run("v = dbutils.secrets.get('box', 'key')")
    control.kill()
    control.start()
    jvm.answers["SELECT 1"] = {
        "state": "finished",
        "schema": [{"name": "pass-word-1", "type": "string", "json": '"string"'}],
        "data": [["pass-word-1", 7], [{"k": "the value-of-the-launch."}, None]],
    }
    done = shell.run("SELECT 1", language="sql")["results"]
    assert done["data"] == [["[REDACTED]", 7], [{"k": "the [REDACTED]."}, None]]
    assert done["schema"][0]["name"] == "[REDACTED]"


def test_rights_are_those_of_the_owner_at_that_moment(open_shell, api, control, vault, make_user, change_cluster, cluster):
    person, token = make_user("ann@x.org")
    change_cluster(owner=person.principal_id, creator_id=person.principal_id, creator=person.name)
    api.token = token
    shell = open_shell("python")
    denied = shell.run("dbutils.secrets.get('box', 'key')")["results"]
    assert "ann@x.org does not have READ permission on scope box" in denied["summary"]
    vault.post("/api/2.0/secrets/acls/put", json={"scope": "box", "principal": "ann@x.org", "permission": "READ"})
    assert shell.run("len(dbutils.secrets.get('box', 'key'))")["results"]["data"] == "11\n"
    vault.post("/api/2.0/secrets/acls/delete", json={"scope": "box", "principal": "ann@x.org"})
    assert shell.run("dbutils.secrets.get('box', 'key')")["results"]["resultType"] == "error"


def test_a_capability_ends_with_its_context_and_holds_on_its_node_only(open_shell, vault, control, node):
    from boathouse.relay.failures import Refused

    shell = open_shell("python")
    shell.run("1")
    capability = node.files[f"/run/boathouse/contexts/{shell.context}.json"]["capability"]
    get = control.contexts.capabilities.node_methods()["secrets.get"]
    asked = {"scope": "box", "key": "key"}
    assert get("1123-153000-abcdefgh-0-1", asked, capability)["value"] == "pass-word-1"
    for node_id, given in (("1123-153000-other000-0-1", capability), ("1123-153000-abcdefgh-0-1", "guess"), ("x", "")):
        with pytest.raises(Refused, match="not part of a command context"):
            get(node_id, asked, given)
    shell.api.post("/api/1.2/contexts/destroy", json=shell.keys)
    with pytest.raises(Refused):
        get("1123-153000-abcdefgh-0-1", asked, capability)


def test_results_are_withheld_when_the_secrets_of_the_launch_are_not_known(open_shell, launches, jvm, monkeypatch):
    def lost(cluster_id):
        raise NotServing("Secret gone/key does not exist")

    shell = open_shell("python")
    shell.run("1")
    monkeypatch.setattr(launches, "redactions", lost)
    withheld = shell.run("'value-of-the-launch'")
    assert withheld["status"] == "Finished"
    assert withheld["results"]["summary"].startswith("The results are withheld")
    monkeypatch.setattr(launches, "environment", lost)
    other = open_shell("python")
    other.control.until(lambda: other.state() == "Error")
