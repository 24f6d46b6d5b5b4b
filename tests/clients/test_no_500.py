"""Every served endpoint, thrown bodies of its own types and of any, broken queries and broken paths, by the admin, who may do all
and so gets furthest: an answer below 500, or 501 by name.

A value is often of the type that is asked for, often one that names what is there, sometimes anything: only what passes the
decoder reaches the code behind it."""

import enum
import functools
import json
import re
import types
import typing
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients.test_every_route import SCIM, TABLE, House, house  # noqa: F401

#: Texts that have broken programs: none at all, what a database, a path or a header cannot hold, other languages in a text.
BAD = [
    "", " ", "\x00", "a\x00b", "\ud800", "\n", "\r\nX-Set: 1", "é\u202e\U0001f9ea", "/", "..", "../../etc/passwd", "a/b",
    "%", "%00", "{{secrets/s/k}}", "{{secrets/", "' OR 1=1 --", "`a`.`b`", "*", "-1", "9" * 40, "1e999", "NaN", "x" * 3000,
    "[", "a eq", 'userName eq "', "0000-13-45", "s3://", "http://[::", "file:///etc/passwd", "dbfs:/", "a:b@c:99999999/x", "(",
    "\\",
]  # fmt: skip
BAD_NUMBERS = [0, -1, 1 << 31, 1 << 63, -(1 << 63) - 1, 10**40, 0.5, 1e308]
BAD_BODIES = [
    b"", b"null", b"[]", b"0", b'"x"', b"{", b"\xff\xfe", b'{"\xff": 1}', b'{"a": "\\ud800"}', b'{"a": 1e999}',
    b'{"a": ' + b"9" * 5000 + b"}", b"[" * 20000, b'{"a":' * 20000, b"\x00", b"\xef\xbb\xbf{}",
]  # fmt: skip
BAD_PARTS = [
    "%00", "%FF", "%ED%A0%80", "%0A", "%", "%zz", "..", "a%2Fb", "%2e%2e%2f", "-1", "0", "9" * 19, "9" * 40, "%C3%A9",
    "x" * 3000, ".", "%20",
]  # fmt: skip

#: Values that many fields want, and that few texts are by chance.
KNOWN = [
    "victims", "victims.s.t", "s", "k", "users", "admins", "/Users/victim@x.org/f", "/Volumes/victims/s/v/f", "dbfs:/x",
    "i3.xlarge", "17.3.x-scala2.13", "{}", '{"a": {"type": "fixed", "value": 1}}', "track://victims/image:stable", "0 3 * * *",
    "2100-01-01", "1h",
]  # fmt: skip

text = st.sampled_from(BAD) | st.sampled_from(KNOWN) | st.text(max_size=8)
numbers = st.integers() | st.sampled_from(BAD_NUMBERS)
documents = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)

#: Of how many values one is of any type.
WRONG = 12


@functools.cache
def of_type(kind: typing.Any, depth: int = 0) -> st.SearchStrategy[typing.Any]:
    """Values that the decoder of `kind` takes, most of them."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([of_type(one, depth) for one in arguments if one is not msgspec.UnsetType])
    if origin is typing.Annotated:
        return of_type(arguments[0], depth)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (list, tuple, set, frozenset):
        return st.lists(of_type(arguments[0], depth + 1), max_size=2)
    if origin is dict:
        return st.dictionaries(text, of_type(arguments[1], depth + 1), max_size=2)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.just({}) if depth > 4 else document(kind, depth + 1)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from([member.value for member in kind])
    plain: dict[typing.Any, st.SearchStrategy[typing.Any]] = {
        str: text, int: st.integers(0, 9) | numbers, float: numbers, bool: st.booleans(), type(None): st.none(),
    }  # fmt: skip
    return plain.get(kind, documents)


@functools.cache
def document(kind: type, depth: int = 0) -> st.SearchStrategy[dict[str, typing.Any]]:
    """Objects of a struct: what it requires, and up to three of the rest."""
    hints = typing.get_type_hints(kind)
    fields = {field.encode_name: (of_type(hints[field.name], depth), field.required) for field in msgspec.structs.fields(kind)}
    rest = [name for name, (_, required) in fields.items() if not required]

    @st.composite
    def draw_one(draw: typing.Any) -> dict[str, typing.Any]:
        chosen = [name for name, (_, required) in fields.items() if required]
        chosen += draw(st.lists(st.sampled_from(rest), max_size=3, unique=True)) if rest else []
        wrong = draw(st.integers(0, WRONG)) == 0
        return {name: draw(documents if wrong else fields[name][0]) for name in chosen}

    return draw_one()


def there(within: House, kind: typing.Any, path: str) -> st.SearchStrategy[dict[str, typing.Any]]:
    """What of a request is well formed and names the victim's things: all of it or some, over what is drawn."""
    whole = within.document(kind, path)
    some = st.sets(st.sampled_from(sorted(whole) or [""]))
    return st.just(whole) | some.map(lambda names: {name: value for name, value in whole.items() if name in names})


def asked(data: typing.Any, within: House, served: typing.Any, path: str) -> dict[str, typing.Any]:
    """The body of one request, and its headers."""
    wants = served.arguments
    if wants.form:
        return {"data": data.draw(st.dictionaries(text.filter(encodable), text.filter(encodable), max_size=4))}
    kind = wants.body
    if kind is None or data.draw(st.integers(0, WRONG)) == 0:
        return (
            {"content": data.draw(st.sampled_from(BAD_BODIES) | st.binary(max_size=30))}
            if kind or wants.raw or wants.stream
            else {}
        )
    drawn = data.draw(of_type(kind))
    if isinstance(drawn, dict):
        drawn |= data.draw(there(within, kind, path))
    return {"content": json.dumps(drawn).encode()}


def encodable(value: str) -> bool:
    return "\ud800" not in value


def query(data: typing.Any, within: House, kind: typing.Any, path: str) -> str:
    """A query as it travels: a name may stand there twice, a value may be no text."""
    pairs = data.draw(there(within, kind, path))
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    values = st.sampled_from(BAD_PARTS) | text.map(lambda value: quote(value, errors="surrogatepass"))
    more = data.draw(st.lists(st.tuples(st.sampled_from([*names, "a.b", "%FF", ""]), values), max_size=3))
    return "&".join(
        [f"{name}={quote(str(value))}" for name, value in pairs.items()] + [f"{name}={value}" for name, value in more]
    )


#: What takes away comes last, so that the rest still finds what it names.
TAKES_AWAY = re.compile(r"delete|remove|revoke|trash|purge|deactivate")
ORDERED = sorted(TABLE, key=lambda row: row[0].method == "DELETE" or bool(TAKES_AWAY.search(row[1])))


@pytest.mark.parametrize(("served", "path"), ORDERED, ids=[f"{served.method} {path}" for served, path in ORDERED])
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=8)
def test_no_500(house, served, path, data):  # noqa: F811
    def part(match: re.Match[str]) -> str:
        return data.draw(st.just(quote(str(names.get(match[1], "x")))) | st.sampled_from(BAD_PARTS))

    names = house.names_in(path)
    more = {"headers": {"Content-Type": "application/json"}, **asked(data, house, served, path)}
    url = re.sub(r"\{(\w+)\}", part, path)
    if served.arguments.query is not None:
        url += "?" + query(data, house, served.arguments.query, path)
    answer = house.ask(served.method, url, **more)
    by_name = answer.status_code == 501 or "ClusterNotReadyException" in answer.text  # 503, as the platform says it
    assert answer.status_code < 500 or by_name, (url, more, answer.text)


def test_the_admin_is_still_heard(house):  # noqa: F811
    """Else what came after was refused before it reached anything."""
    assert house.ask("GET", f"{SCIM}/Me").status_code == 200
