"""References: what is one (pure), and that they resolve with the rights of the principal, as they are at that
moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from boathouse.auth.keys import Keys
from boathouse.edge.tables import audit
from boathouse.identity import principals, registry
from boathouse.workspace import secret_store
from boathouse.workspace.references import (
    NAME,
    Reference,
    SecretDenied,
    SecretError,
    SecretMissing,
    Secrets,
    looks_like,
    parse,
)
from boathouse.workspace.sealing import Sealer

names = st.from_regex(NAME, fullmatch=True)


@given(names, names)
def test_every_reference_parses_back(scope, key):
    reference = Reference(scope, key)
    assert parse(str(reference)) == reference
    assert looks_like(str(reference))


@given(st.text(alphabet="{}secrt/ab .@-_\n", max_size=40) | st.text(max_size=40))
def test_any_other_text_is_a_value(text):
    parsed = parse(text)
    assert parsed is None or str(parsed) == text


@given(names, names, st.text(min_size=1, max_size=5))
def test_nothing_may_stand_around_a_reference(scope, key, other):
    reference = str(Reference(scope, key))
    assert parse(other + reference) is None and parse(reference + other) is None


@pytest.mark.parametrize(
    "text",
    ["", "hunter2", "{{secrets/a}}", "{{secrets/a/b/c}}", "{{secrets//b}}", "{{secrets/a/}}", "{{ secrets/a/b }}",
     "{{secrets/a/b}",
     "{secrets/a/b}", "{{secret/a/b}}", "{{secrets/a/b}}\n", "{{secrets/a b/c}}", "{{secrets/ä/c}}",
     "{{secrets/" + "a" * 129 + "/c}}"],
)  # fmt: skip
def test_no_references(text):
    assert parse(text) is None


@pytest.fixture
def scope(store, sealer, ready):
    with store.transaction() as tx:
        secret_store.add_scope(tx, ready.home.workspace_id, "registry", ready.home.admin_id)
        who = secret_store.asker(tx, ready.home.workspace_id, ready.home.admin_id)
        made = secret_store.scope_for(tx, ready.home.workspace_id, "registry", who, "MANAGE")
        secret_store.put(tx, sealer, made, "password", b"hunter2")
        secret_store.put(tx, sealer, made, "binary", b"\xff")
    return made


PASSWORD = "{{secrets/registry/password}}"


def test_with_the_principals_rights(store, sealer, ready, make_user, scope):
    service, workspace = Secrets(store, sealer), ready.home.workspace_id
    ann, _ = make_user("ann@x.org", groups=["makers"])
    assert service.resolve(workspace, ready.home.admin, PASSWORD) == "hunter2"
    with pytest.raises(SecretDenied, match=r"ann@x.org does not have READ permission on scope registry of \{\{secrets/registry"):
        service.resolve(workspace, "ann@x.org", PASSWORD)
    with store.transaction() as tx:
        makers = principals.in_workspace(tx, workspace, "makers")
        secret_store.put_acl(tx, scope, makers.principal_id, "READ")
    assert service.resolve(workspace, "ann@x.org", "{{secrets/REGISTRY/Password}}") == "hunter2"
    assert service.resolve(workspace, "ANN@x.org", PASSWORD) == "hunter2"
    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
    with pytest.raises(SecretDenied, match="not an active member"):
        service.resolve(workspace, "ann@x.org", PASSWORD)


@pytest.mark.parametrize(
    ("reference", "error"),
    [("{{secrets/registry/none}}", SecretMissing), ("{{secrets/none/password}}", SecretMissing), ("hunter2", SecretMissing),
     ("{{secrets/registry/binary}}", SecretError)],
)  # fmt: skip
def test_what_cannot_be_had(store, sealer, ready, scope, reference, error):
    with pytest.raises(error):
        Secrets(store, sealer).resolve(ready.home.workspace_id, ready.home.admin, reference)


def test_a_value_whose_key_is_lost_is_an_error_that_names_the_key(store, keys, ready, scope):
    (keys.directory / "kek-0001.key").rename(keys.directory / "kek-0002.key")
    with pytest.raises(SecretError, match=r"\{\{secrets/registry/password\}\} cannot be opened: the key 'kek-0001' is not in"):
        Secrets(store, Sealer(Keys(keys.directory))).resolve(ready.home.workspace_id, ready.home.admin, PASSWORD)


def test_strangers_and_other_workspaces(store, sealer, ready, scope):
    service = Secrets(store, sealer)
    with pytest.raises(SecretDenied):
        service.resolve(ready.home.workspace_id, "nobody@x.org", PASSWORD)
    with pytest.raises(SecretDenied):
        service.resolve(5, ready.home.admin, PASSWORD)


def test_bytes(store, sealer, ready, scope):
    service = Secrets(store, sealer)
    assert service.get_bytes(ready.home.workspace_id, ready.home.admin, "registry", "binary") == b"\xff"


def test_resolving_is_audited_without_the_value(store, sealer, ready, scope):
    Secrets(store, sealer).resolve(ready.home.workspace_id, ready.home.admin, PASSWORD, why="clusters.launch")
    with store.read() as reader:
        row = reader.execute(select(audit).where(audit.c.action == "clusters.launch")).one()
    assert row.principal == ready.home.admin and "password" in row.request and "hunter2" not in row.request
