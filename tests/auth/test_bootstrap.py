import pytest
from sqlalchemy import func, select

from boathouse.auth.authenticator import Authenticator
from boathouse.auth.bootstrap import bootstrap, rotate
from boathouse.auth.keys import Keys
from boathouse.auth.tables import tokens
from boathouse.edge.errors import ApiError
from boathouse.identity.bootstrap import Founding
from boathouse.store import Store


def test_the_same_at_every_start(store, keys):
    first = bootstrap(store, keys, Founding(admin="me@x.org", cloud="gcp"))
    again = bootstrap(store, Keys(keys.directory), Founding(admin="other@x.org"))
    assert first == again
    assert (first.home.admin, first.home.cloud) == ("me@x.org", "gcp")
    assert first.token.startswith("dapi") and len(first.token) == 36


def test_a_second_start_writes_nothing(store, keys, monkeypatch):
    bootstrap(store, keys)

    def refuse(self):
        raise AssertionError("a write")

    monkeypatch.setattr(Store, "transaction", refuse)
    bootstrap(store, keys)


def test_the_token_is_not_in_the_database(store, keys, tmp_path):
    token = bootstrap(store, keys).token
    store.close()
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("boathouse.db*"))


def test_rotating_ends_the_old_token_at_once(store, keys):
    authenticate = Authenticator(store, keys)
    old = bootstrap(store, keys).token
    assert authenticate({"authorization": f"Bearer {old}"}, "").admin
    new = rotate(store, keys)
    assert new != old
    assert authenticate({"authorization": f"Bearer {new}"}, "").admin
    with pytest.raises(ApiError, match=r"Invalid access token\."):
        authenticate({"authorization": f"Bearer {old}"}, "")
    assert bootstrap(store, keys).token == new


def test_lost_keys_make_a_new_token_and_end_all_others(store, keys, tmp_path):
    old = bootstrap(store, keys).token
    fresh = Keys(tmp_path / "other")
    new = bootstrap(store, fresh).token
    assert new != old
    assert Authenticator(store, fresh)({"authorization": f"Bearer {new}"}, "").admin
    with store.read() as reader:
        assert reader.execute(select(func.count()).select_from(tokens)).scalar() == 1
