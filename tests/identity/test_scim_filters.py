"""The meaning of filters; their grammar is the library's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.identity.scim_filters import BadFilter, parse
from boathouse.identity.scim_schemas import attributes

SCHEMA = attributes("user", False)
ANN = {
    "id": "12", "userName": "Ann@x.org", "active": True, "name": {"givenName": "Ann"}, "externalId": "Ab",
    "emails": [{"value": "ann@x.org", "type": "work", "primary": True}, {"value": "a@home.org", "type": "home"}],
    "groups": [{"value": "7", "display": "Team", "type": "direct"}], "entitlements": [],
    "meta": {"resourceType": "User"}, "schemas": ["urn:x"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "holds"),
    [('userName eq "ann@x.org"', True), ('USERNAME EQ "ANN@X.ORG"', True), ('userName eq "ann"', False),
     ('userName co "n@x"', True), ('userName sw "ann"', True), ('userName ew ".org"', True), ('userName ne "x"', True),
     ('userName gt "anm"', True), ('userName le "ann@x.org"', True), ('userName lt "ann@x.org"', False),
     ("active eq true", True), ("active eq false", False), ('active eq "True"', True), ("active ne true", False),
     ("displayName pr", False), ("userName pr", True), ("entitlements pr", False), ("emails pr", True), ("active pr", True),
     ("displayName eq null", True), ("userName ne null", True), ("id eq 12", True), ('id eq "012"', False),
     ('externalId eq "Ab"', True), ('externalId eq "ab"', False),
     ('userName sw "ann" and active eq true', True), ('userName eq "x" or active eq true', True),
     ('userName eq "x" and active eq true or userName pr', True), ('userName eq "x" and (active eq true or userName pr)', False),
     ("not (active eq true)", False), ('not (active eq false) and userName pr', True), ('userName eq "a\\"b"', False),
     ('name.givenName eq "ANN"', True), ("name.familyName pr", False),
     ('emails eq "ANN@x.org"', True), ('emails.type eq "home"', True), ('emails co "home"', True),
     ('emails[type eq "work" and value ew "x.org"]', True), ('emails[type eq "home" and primary eq true]', False),
     ('emails[type eq "home"] and not (groups[display eq "other"])', True), ('emails ne "ann@x.org"', False),
     ('groups eq "7"', True), ('groups.display co "tea"', True), ('meta.resourceType eq "User"', True),
     ('urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ann@x.org"', True)],
)  # fmt: skip
def test_meaning(text, holds):
    assert parse(text, SCHEMA).matches(ANN) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "column"), ("userName", ""), ("userName eq", ""), ("userName eq x", ""),
     ("nick eq 1", "no attribute 'nick'; allowed: active"),
     ('userName like "x"', ""), ('(userName eq "x"', ""), ('userName eq "x")', ""), ('userName eq "x', ""),
     ('userName eq "x" userName eq "y"', ""), ("and", ""), ("not", ""), ("active gt true", "true or false"),
     ('active co "x"', "true or false"), ("userName eq true", "double quotes"), ('name eq "x"', "name.givenName"),
     ('emails.nick eq "x"', "allowed: value"), ('userName[value eq "x"]', "no brackets"), ("userName gt null", "null"),
     ("(" * 50 + "userName pr" + ")" * 49, ""), ("userName eq " + '"' + "x" * 10_001 + '"', "limit")],
)  # fmt: skip
def test_mistakes_are_said(text, why):
    with pytest.raises(BadFilter, match=why or None):
        parse(text, SCHEMA)


@given(st.text(alphabet='userNameqo "()[]\\x', max_size=60) | st.text(max_size=60))
def test_any_text_is_a_filter_or_a_mistake(text):
    try:
        holds = parse(text, SCHEMA).matches(ANN)
    except BadFilter:
        return
    assert isinstance(holds, bool)


@given(st.text(st.characters(codec="utf-8")))
def test_every_name_is_found_by_its_own_filter(name):
    import json

    assert parse(f"userName eq {json.dumps(name)}", SCHEMA).matches({"userName": name})


def test_what_a_look_up_can_use():
    assert parse('active eq true and userName eq "A"', SCHEMA).wanted("userName") == "A"
    assert parse('active eq true or userName eq "A"', SCHEMA).wanted("userName") is None
    assert parse('not (userName eq "A")', SCHEMA).wanted("userName") is None
    assert parse('emails.value eq "A"', SCHEMA).wanted("emails") is None
    assert parse('emails[type eq "a"] and groups.display pr', SCHEMA).names == {"emails", "groups"}
