"""Every endpoint of identity, auth and workspace, thrown arbitrary bodies, queries and paths: an answer below 500, or
501 by name."""

import importlib
import json
import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boathouse.edge.routing import Routes

MODULES = [
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.tokens", "boathouse.auth.oauth",
    "boathouse.auth.discovery", "boathouse.auth.client_secrets", "boathouse.workspace.conf", "boathouse.workspace.secrets",
]  # fmt: skip
ENDPOINTS = Routes([importlib.import_module(name) for name in MODULES]).endpoints

text = st.text(max_size=12) | st.sampled_from(["admins", "users", "s", "k", "", "\x00", "{{secrets/s/k}}", "a@b", "5", "9" * 40])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)


def bodies(kind):
    """Bodies that often get past the decoder: the type's own fields, with values of the right kind or of any."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return st.dictionaries(text, documents, max_size=3)
    likely = {}
    for field in msgspec.structs.fields(kind):
        hint = str(field.type)
        right = st.lists(st.fixed_dictionaries({"value": text}), max_size=2) if "list" in hint else st.booleans()
        likely[field.encode_name] = (text if "str" in hint else right) | documents
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    return st.fixed_dictionaries(
        dict.fromkeys(required, text), optional={name: likely[name] for name in likely.keys() - required}
    )


@pytest.fixture
def api(api_of):
    made = api_of(*MODULES)
    made.post("/api/2.0/secrets/scopes/create", json={"scope": "s"})
    made.post("/api/2.0/secrets/put", json={"scope": "s", "key": "k", "string_value": "v"})
    return made


@pytest.mark.parametrize("served", ENDPOINTS, ids=lambda served: f"{served.method} {served.path}")
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
def test_no_500(api, served, data):
    path = re.sub(r"\{\w+\}", lambda match: data.draw(st.sampled_from(["5", "x", "%00", "%FF", "9" * 40, "a%2Fb"])), served.path)
    more = {}
    if served.arguments.body is not None:
        more["content"] = json.dumps(data.draw(bodies(served.arguments.body))).encode()
    elif served.arguments.form:
        more["data"] = data.draw(st.dictionaries(text, text, max_size=4))
    elif served.arguments.raw:
        more["content"] = data.draw(st.binary(max_size=30))
    if served.arguments.query is not None:
        names = [field.encode_name for field in msgspec.structs.fields(served.arguments.query)]
        more["params"] = data.draw(st.dictionaries(st.sampled_from(names), text, max_size=4))
    answer = api.call(served.method, path, **more)
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
