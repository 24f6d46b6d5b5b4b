import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.identity.filters import BadFilter, parse

NAMES = {"userName": "name", "active": "active", "externalId": "external_id"}
ROW = {"name": "Ann@x.org", "active": True, "external_id": None}


@pytest.mark.parametrize(
    ("text", "holds"),
    [('userName eq "ann@x.org"', True), ('USERNAME EQ "ANN@X.ORG"', True), ('userName eq "ann"', False),
     ('userName co "n@x"', True), ('userName sw "ann"', True), ('userName ew ".org"', True), ('userName ne "x"', True),
     ("active eq true", True), ("active eq false", False), ("externalId pr", False), ("userName pr", True),
     ("externalId eq null", True),
     ('userName sw "ann" and active eq true', True), ('userName eq "x" or active eq true', True),
     ('userName eq "x" and active eq true or userName pr', True), ('userName eq "x" and (active eq true or userName pr)', False),
     ("not (active eq true)", False), ('not active eq false and userName pr', True), ('userName eq "a\\"b"', False)],
)  # fmt: skip
def test_meaning(text, holds):
    assert parse(text, NAMES)(ROW) is holds


@pytest.mark.parametrize(
    "text",
    ["", "userName", "userName eq", "userName eq x", "nick eq 1", 'userName like "x"', '(userName eq "x"', 'userName eq "x")',
     'userName eq "x', 'userName eq "x" userName eq "y"', "and", "not", "(" * 50 + "userName pr" + ")" * 50],
)  # fmt: skip
def test_mistakes_are_said(text):
    with pytest.raises(BadFilter):
        parse(text, NAMES)


@given(st.text(alphabet='userNameqo "()\\x', max_size=60) | st.text(max_size=60))
def test_any_text_is_a_filter_or_a_mistake(text):
    try:
        holds = parse(text, NAMES)(ROW)
    except BadFilter:
        return
    assert isinstance(holds, bool)


@given(st.text())
def test_every_name_is_found_by_its_own_filter(name):
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'userName eq "{quoted}"', NAMES)({**ROW, "name": name})
