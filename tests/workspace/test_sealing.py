import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from boathouse.auth.keys import Keys
from boathouse.workspace import secret_store
from boathouse.workspace.references import Secrets
from boathouse.workspace.sealing import Sealer, Unsealable, binding, is_sealed
from boathouse.workspace.tables import secrets


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    return Sealer(Keys(tmp_path_factory.mktemp("sealing") / "keys"))


@given(st.binary(max_size=2000), st.text(max_size=50))
@settings(deadline=None)
def test_what_is_sealed_opens_with_its_binding_only(steady, value, aad):
    sealed = steady.seal_bytes(value, aad)
    assert is_sealed(sealed) and sealed.isascii()
    assert steady.unseal_bytes(sealed, aad) == value
    with pytest.raises(Unsealable):
        steady.unseal_bytes(sealed, aad + "x")


@given(st.text(max_size=200))
@settings(deadline=None)
def test_text_round_trips(steady, text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert steady.unseal(steady.seal(text, "a"), "a") == text


@given(st.data())
@settings(deadline=None)
def test_no_change_goes_unseen(steady, data):
    sealed = steady.seal("value", "a")
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != sealed[at]))
    with pytest.raises(Unsealable):
        steady.unseal(sealed[:at] + other + sealed[at + 1 :], "a")


@given(st.text(max_size=100))
def test_any_other_text_is_refused(steady, text):
    for candidate in (text, "sealed:1:" + text, "sealed:1:kek-0001:" + text):
        with pytest.raises(Unsealable):
            steady.unseal(candidate, "a")


@given(st.lists(st.text(max_size=5) | st.integers(), max_size=4), st.lists(st.text(max_size=5) | st.integers(), max_size=4))
def test_bindings_are_unambiguous(left, right):
    assert (binding(*left) == binding(*right)) == (left == right)


def test_the_same_value_twice_is_not_the_same_ciphertext(sealer):
    assert sealer.seal("v", "a") != sealer.seal("v", "a")


def test_rotation_keeps_old_values_and_rewraps(sealer, keys):
    old = sealer.seal("v", "a")
    assert sealer.current() == "kek-0001"
    assert sealer.new_kek() == "kek-0002"
    assert sealer.unseal(old, "a") == "v"
    new = sealer.rewrap(old, "a")
    assert new.startswith("sealed:1:kek-0002:") and new.split(":")[4] == old.split(":")[4]
    assert sealer.rewrap(new, "a") == new
    (keys.directory / "kek-0001.key").unlink()
    fresh = Sealer(Keys(keys.directory))
    assert fresh.unseal(new, "a") == "v"
    with pytest.raises(Unsealable, match="kek-0001"):
        fresh.unseal(old, "a")


def test_another_process_sees_the_new_key(sealer, keys):
    old = sealer.seal("v", "a")
    other = Sealer(Keys(keys.directory))
    other.new_kek()
    assert sealer.unseal(other.seal("w", "a"), "a") == "w"
    assert other.unseal(old, "a") == "v"
    assert sealer.seal("x", "a").startswith("sealed:1:kek-0002:")


@pytest.fixture
def scopes(store, ready):
    with store.transaction() as tx:
        for name in ("a", "b"):
            secret_store.add_scope(tx, ready.home.workspace_id, name, ready.home.admin_id)
        who = secret_store.asker(tx, ready.home.workspace_id, ready.home.admin_id)
        return [secret_store.scope_for(tx, ready.home.workspace_id, name, who, "MANAGE") for name in ("a", "b")]


def test_a_row_moved_elsewhere_or_put_back_does_not_open(store, sealer, scopes):
    a, b = scopes
    with store.transaction() as tx:
        secret_store.put(tx, sealer, a, "k", b"first")
        secret_store.put(tx, sealer, b, "k", b"other")
        old = tx.execute(select(secrets.c.value).where(secrets.c.scope_id == a.scope_id)).scalar_one()
        secret_store.put(tx, sealer, a, "k", b"second")
        assert secret_store.unseal(sealer, a, secret_store.get(tx, a, "k")) == b"second"
        tx.execute(update(secrets).values(value=old))  # an old version, in its own and in another scope
        for scope in scopes:
            with pytest.raises(Unsealable):
                secret_store.unseal(sealer, scope, secret_store.get(tx, scope, "k"))


def test_rotating_all_secrets(store, sealer, keys, scopes):
    service = Secrets(store, sealer)
    with store.transaction() as tx:
        for number in range(3):
            secret_store.put(tx, sealer, scopes[0], f"k{number}", b"v%d" % number)
    assert service.rotate() == 3
    (keys.directory / "kek-0001.key").unlink()
    fresh = Sealer(Keys(keys.directory))
    with store.read() as reader:
        values = [secret_store.unseal(fresh, scopes[0], secret) for secret in secret_store.list_all(reader, scopes[0])]
    assert values == [b"v0", b"v1", b"v2"]
