"""Strict decoding: a refusal names field, value and what is allowed; and no body whatever is answered with a 500."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boathouse.edge.decoding import decode_query
from boathouse.edge.errors import ApiError

CREATE = "/toys/create"


@pytest.mark.parametrize(
    "body",
    [{"name": "a"}, {"name": "", "number": 0, "flag": False, "ratio": 1.5, "mode": "A", "tags": {"k": "v"}},
     {"name": "a", "inner": {"name": "i"}, "many": [{"name": "m", "size": 3}]}],
)  # fmt: skip
def test_what_fits_comes_back(api, body):
    assert api.post(CREATE, json=body).json() == body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing required field 'name'."),
        ({"name": 1}, "Invalid value for field 'name': 1. Expected `str`, got `int`."),
        ({"name": "a", "number": "two"}, "Invalid value for field 'number': \"two\". Expected `int | null`, got `str`."),
        ({"name": "a", "number": 1.5}, "Invalid value for field 'number': 1.5. Expected `int | null`, got `float`."),
        ({"name": "a", "flag": 1}, "Invalid value for field 'flag': 1."),
        ({"name": "a", "mode": "C"}, "Invalid value for field 'mode': \"C\". Invalid enum value 'C'. Allowed: A, B."),
        ({"name": "a", "nick": 1}, "Unknown field 'nick'. Allowed here: flag, inner, many, mode, name, number"),
        ({"name": "a", "tags": {"k": 5}}, "Invalid value for field 'tags[...]': {\"k\":5}. Expected `str`, got `int`."),
        ({"name": "a", "inner": {"size": 1}}, "Missing required field 'inner.name'."),
        ({"name": "a", "inner": {"name": "i", "x": 1}}, "Unknown field 'inner.x'. Allowed here: name, size."),
        ({"name": "a", "many": [{"name": "m"}, {"name": 5}]}, "Invalid value for field 'many[1].name': 5."),
        ({"name": "a", "many": {}}, "Invalid value for field 'many': {}. Expected `array`, got `object`."),
        ({"name": None}, "Invalid value for field 'name': null."),
    ],
)
def test_refusals_name_the_field(api, body, message):
    refused = api.post(CREATE, json=body)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.json()["message"].startswith(message)


@pytest.mark.parametrize(
    "content",
    [b"nope", b"[]", b'"a"', b"1", b"null", b'{"name":', b'{"name":"a"} x', b"\xff\xfe", b"\x00", b"[" * 100_000,
     b'{"name":"a","inner":' * 50_000, b'{"name":"\xff"}', b'{"name":"a","tags":' + b"[" * 5000 + b"]" * 5000 + b"}"],
)  # fmt: skip
def test_no_json_object(api, content):
    refused = api.post(CREATE, content=content)
    assert refused.status_code == 400 and refused.json()["error_code"] in ("MALFORMED_REQUEST", "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("depth", [10, 150, 300, 450, 600, 900, 1500])
def test_deep_bodies_of_any_shape(api, depth):
    content = b'{"a":' * depth + b"1" + b"}" * depth
    answer = api.post("/toys/any", content=content)
    assert answer.status_code == 200 or (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST")


def test_too_large_is_413_and_not_a_reset(api):
    assert api.post(CREATE, content=b" " * (10 << 20)).json()["error_code"] == "MAX_REQUEST_SIZE_EXCEEDED"
    assert api.post("/toys/small", content=b"x" * 10).json() == {"length": 10}
    refused = api.post("/toys/small", content=b"x" * 11)
    assert (refused.status_code, refused.json()["message"]) == (
        413, "The request body is larger than 10 bytes, the limit here.",
    )  # fmt: skip


def test_long_values_are_cut_in_the_message(api):
    refused = api.post(CREATE, json={"name": "a", "number": "x" * 5000})
    assert len(refused.json()["message"]) < 300


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
keys = st.sampled_from(["name", "number", "flag", "mode", "tags", "inner", "many", "size", "ratio", "password"]) | st.text(
    max_size=5
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@given(st.dictionaries(keys, documents, max_size=6) | documents)
@relaxed
def test_no_json_is_a_500(api, document):
    for path in (CREATE, "/toys/any"):
        answer = api.post(path, content=json.dumps(document).encode())
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            assert answer.json()["message"]


@given(st.binary(max_size=60))
@relaxed
def test_no_bytes_are_a_500(api, content):
    for path in (CREATE, "/toys/any", "/toys/form"):
        assert api.post(path, content=content).status_code in (200, 400)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 40, "-" + "9" * 40, "9" * 5000, str(2**63), str(2**64), "1e30"])
def test_numbers_beyond_the_clock(api, number):
    for field in ("name", "number", "ratio", "flag"):
        answer = api.post(CREATE, content=f'{{"name": "a", "{field}": {number}}}'.encode())
        assert answer.status_code in (200, 400)
    assert api.post("/toys/any", content=f'{{"a": {number}}}'.encode()).status_code in (200, 400)


def test_half_a_surrogate_is_no_500(api):
    assert api.post(CREATE, content=rb'{"name": "\ud800"}').status_code in (200, 400)
    assert api.post("/toys/any", content=rb'{"\ud800": "\udfff"}').status_code in (200, 400)


@pytest.mark.parametrize(
    ("query", "answer"),
    [("", {}), ("page_size=3", {"page_size": 3}), ("deep=true", {"deep": True}), ("zz=1&page_size=4", {"page_size": 4}),
     ("filter_by.states=A&filter_by.states=B", {"filter_by": {"states": ["A", "B"]}}),
     ("filter_by.name=x%20y", {"filter_by": {"name": "x y"}}), ("filter_by=x", {}), ("filter_by.zz=1", {"filter_by": {}}),
     ("filter_by.states.x=1", {"filter_by": {"states": ["1"]}})],
)  # fmt: skip
def test_queries(api, query, answer):
    assert api.get(f"/toys/list?{query}").json() == answer


@pytest.mark.parametrize(
    ("query", "message"),
    [("page_size=x", "Invalid value for query parameter 'page_size': \"x\"."), ("deep=maybe", "query parameter 'deep'"),
     ("page_size=", "query parameter 'page_size'"), ("page_size=1.5", "query parameter 'page_size'")],
)  # fmt: skip
def test_queries_that_do_not_fit(api, query, message):
    refused = api.get(f"/toys/list?{query}")
    assert refused.status_code == 400 and message in refused.json()["message"]


def test_a_thousand_parameters_are_refused_and_not_a_500(api):
    assert api.get("/toys/list?" + "&".join(["a=1"] * 1001)).status_code == 400


@given(st.text(alphabet="page_sizefltrby.=&%1+;atu\xe9\ud800", max_size=60))
def test_any_query_is_read_or_refused(toys, query):
    try:
        decode_query(toys.ToyQuery, query)
    except ApiError as refused:
        assert refused.status == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [("12", 200), ("-3", 200), ("ab", 400), ("1.5", 400), ("9223372036854775807", 200), ("9223372036854775808", 400),
     ("-9223372036854775808", 200), ("-9223372036854775809", 400), ("9" * 30, 400), ("%D9%A3", 400)],
)  # fmt: skip
def test_numbers_in_paths(api, path, status):
    assert api.get(f"/toys/{path}").status_code == status


@pytest.mark.parametrize(
    ("path", "name"),
    [("a%20b", "a b"), ("a%2Fb", "a/b"), ("100%25", "100%"), ("%2541", "%41"), ("%C3%A9", "é"), ("a+b", "a+b")],
)
def test_names_in_paths_are_decoded_once(api, path, name):
    assert api.get(f"/toys/named/{path}").json()["name"] == name


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**40])
def test_integers_have_64_bits(api, number):
    refused = api.post(CREATE, json={"name": "9" * 40, "number": 1, "many": [{"name": "m", "size": number}]})
    assert refused.status_code == 400
    assert refused.json()["message"] == f"Invalid value for field 'many[0].size': {number}. Give an integer of at most 64 bits."
    refused = api.get(f"/toys/list?page_size={number}")
    assert refused.status_code == 400 and "query parameter 'page_size'" in refused.json()["message"]
    assert api.post(CREATE, json={"name": "9" * 40, "number": (1 << 63) - 1}).status_code == 200
