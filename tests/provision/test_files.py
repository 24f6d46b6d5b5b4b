"""The fleet file and its people: what is read, and how everything that is wrong is named."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.provision import people
from boathouse.provision.fleet import Fleet, document, load
from boathouse.provision.people import Person, checked, csv_rows
from boathouse.provision.problems import FleetError, Problem
from boathouse.provision.session import Session
from boathouse.provision.templates import filled, names
from boathouse.provision.wishes import wishes

ENTRA = {
    "en": "Name [displayName] Required,User name [userPrincipalName] Required,Initial password [passwordProfile] Required",
    "ja": "名前 [displayName] 必須,ユーザー名 [userPrincipalName] 必須,初期パスワード [passwordProfile] 必須",
    "de": "Name [displayName] Erforderlich,Benutzername [userPrincipalName] Erforderlich,Kennwort [passwordProfile] Erforderlich",
}


def problems(call: Any, *arguments: Any) -> list[str]:
    """What a reader finds wrong: what it adds to its list, or that nothing can be read."""
    found: list[Problem] = []
    try:
        call(*arguments, found)
    except FleetError as error:
        found += error.problems
    return [str(each) for each in found]


def people_of(text: str, columns: dict[str, str], problems: list[Problem]) -> list[Person]:
    return checked(csv_rows(text, "p.csv"), columns, problems)


def right(call: Any, *arguments: Any) -> Any:
    """What a reader makes of what is right."""
    found: list[Problem] = []
    made = call(*arguments, found)
    assert found == []
    return made


def read(text: str, **columns: str) -> list[Person]:
    return right(people_of, text, columns)


@pytest.mark.parametrize("language", ENTRA)
def test_entras_template_is_known_in_every_language(language: str):
    text = f"version:v1.0\n{ENTRA[language]}\nExample: Chris Green,Example: chris@contoso.com,x\nAnn Lee,Ann@x.org,S3cret!\n"
    (ann,) = read(text)
    assert (ann.user, ann.name, ann.where, dict(ann.more)) == ("ann@x.org", "Ann Lee", "p.csv, line 4", {})


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("userPrincipalName,displayName", ","), ("E-Mail;Name", ";"), ("user\tfull name", "\t"), ("UPN,name", ",")],
)
def test_other_headers_and_delimiters(header: str, delimiter: str):
    (one,) = read(f"{header}\r\nann+lab@x.org{delimiter}Ann Ł\r\n\r\n")
    assert (one.user, one.name, one.slug) == ("ann+lab@x.org", "Ann Ł", "ann_lab")


def test_named_columns_and_more_columns_that_become_variables():
    (one,) = read("Konto,Wer,Team Name\na@x.org,A,red\n", user="Konto", name="Wer")
    assert one.more == {"team_name": "red"}
    assert problems(people_of, "a,b\n1,2\n", {"user": "Konto"})[0].endswith("there is no column 'Konto'; there are: 'a', 'b'")


def test_every_wrong_row_is_named_at_once():
    text = "user,name\nann@x.org,Ann\n,Nobody\nbob,Bob\nANN@X.ORG,Ann again\nc@x.org,C,too,many\nd@x.org,\x07bell\n"
    assert problems(people_of, text, {}) == [
        "p.csv, line 3: the user (user) is empty",
        "p.csv, line 4: 'bob' is not an e-mail address",
        "p.csv, line 6: has 4 fields where the header has 2",
        "p.csv, line 7: the name '\\x07bell' is too long (256) or has control characters",
        "p.csv, line 5: ann@x.org is there more than once: p.csv, line 2; p.csv, line 5",
    ]


@pytest.mark.parametrize("text", ["", "\n", ",,\n", 'user\n"open', "user,user\na@x.org,b@x.org\n", "version:v1.0", "user\n"])
def test_what_is_no_table_is_refused(text: str):
    assert problems(people_of, text, {})


@pytest.mark.parametrize(
    "user", ["a@x", "a@@x.org", "a b@x.org", "a@x..org", "@x.org", "a@x.org.", "a" * 320 + "@x.org", "a,b@x.org"]
)
def test_what_is_no_address_is_refused(user: str):
    assert problems(checked, [("here", {"user": user})], {})


@pytest.mark.parametrize(
    "user",
    ["a@x.org", "a.b+c@sub.x.org", "ünï@x.org", "河野@例え.jp", "o'neil@x.org", "a_b@x.onmicrosoft.com"],
)
def test_addresses_of_all_kinds_are_people(user: str):
    (one,) = right(checked, [("here", user)], {})
    assert one.user == user.lower()
    assert one.slug.isidentifier() and one.slug.isascii()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str):
    (tmp_path / "p.csv").write_bytes("user,name\na@x.org,Åse\n".encode(encoding))
    assert right(people.read, Fleet(fleet="f", people="p.csv"), tmp_path)[0].name == "Åse"


def test_another_encoding_is_named(tmp_path: Path):
    (tmp_path / "p.csv").write_bytes("user,name\na@x.org,名前\n".encode("cp932"))
    assert problems(people.read, Fleet(fleet="f", people="p.csv"), tmp_path)[0].startswith("p.csv, line 2: is not UTF-8")
    assert problems(people.read, Fleet(fleet="f", people="q.csv"), tmp_path)[0].endswith("No such file or directory")


def test_people_from_yaml(tmp_path: Path):
    (tmp_path / "p.yaml").write_text("- {user: a@x.org, name: A, team: red}\n- b@x.org\n")
    a, b = right(people.read, Fleet(fleet="f", people="p.yaml"), tmp_path)
    assert (a.more, b.name) == ({"team": "red"}, "b")


@given(st.text(), st.binary(max_size=200))
def test_no_text_makes_the_reader_fail_otherwise(text: str, raw: bytes):
    for each in (text, raw.decode("utf-8", "replace")):
        found: list[Problem] = []
        for person in people_of(each, {}, found):
            assert "@" in person.user
        assert found or read(each)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("fleet: f\npeople: p\nclusters: []\n", "unknown field `clusters`"),
        ("fleet: f\n", "missing required field `people`"),
        ("fleet: f\npeople: p\nstart: {clusters: some}\n", "$.start.clusters"),
        ("fleet: f\npeople: p\nstart: {wave: 0}\n", "$.start.wave"),
        ("fleet: a b\npeople: p\n", "$.fleet"),
        ("fleet: f\nfleet: g\n", "line 2: the key 'fleet' is there twice"),
        ("fleet: [", "line"),
        ("1: 2\n", "is not a text"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("fleet: f\npeople: p\neach: {grants: [{on: schema x, privileges: []}]}", "privileges"),
    ],
)
def test_a_fleet_file_is_read_strictly(tmp_path: Path, text: str, what: str):
    (tmp_path / "f.yaml").write_text(text)
    assert what in problems(load, tmp_path / "f.yaml")[0]


def test_every_field_that_is_wrong_is_named_at_once(tmp_path: Path):
    (tmp_path / "f.yaml").write_text(
        "fleet: a b\npeople: p\nplan: x\nvariables: {a: [1]}\nstart: {wave: 0, clusters: some}\n"
        "each: {schema: [], schemas: [{name: a.b, coment: c}, {comment: d}], grants: [{on: schema a.b, privileges: []}]}\n"
    )
    assert problems(load, tmp_path / "f.yaml") == [
        "f.yaml: Object contains unknown field `plan` - at `$`",
        "f.yaml: Expected `str` matching regex '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' - at `$.fleet`",
        "f.yaml: Expected `bool | int | float | str`, got `array` - at `$.variables[...]`",
        "f.yaml: Object contains unknown field `schema`; did you mean schemas? - at `$.each`",
        "f.yaml: Object contains unknown field `coment`; did you mean comment? - at `$.each.schemas[0]`",
        "f.yaml: Object missing required field `name` - at `$.each.schemas[1]`",
        "f.yaml: Expected `array` of length >= 1 - at `$.each.grants[0].privileges`",
        "f.yaml: Invalid enum value 'some' - at `$.start.clusters`",
        "f.yaml: Expected `int` >= 1 - at `$.start.wave`",
    ]


def test_form_people_and_templates_are_named_in_one_go(tmp_path: Path):
    (tmp_path / "f.yaml").write_text(
        "fleet: f\npeople: p.csv\nstart: {wave: 0}\neach:\n  schemas: [{name: '${nme}.x'}, {name: '${slug}'}]\n"
        "  permissions: [{on: 'clutser ${slug}', level: CAN_RESTART}]\n"
    )
    (tmp_path / "p.csv").write_text("user,name\nann@x.org,Ann\nbob,Bob\neve@x.org,Eve\nann@x.org,Ann\n")
    with pytest.raises(FleetError) as caught:
        Session.read(tmp_path / "f.yaml")
    assert [re.sub(r"known are [^(]*", "", str(each)) for each in caught.value.problems] == [
        "f.yaml: Expected `int` >= 1 - at `$.start.wave`",
        "p.csv, line 3: 'bob' is not an e-mail address",
        "p.csv, line 5: ann@x.org is there more than once: p.csv, line 2; p.csv, line 5",
        "each.schemas[0].name: the variable ${nme} is not known; (for 2 people)",
        "p.csv, line 2: each.schemas: 'ann' is not catalog.schema",
        "each.permissions: there are no permissions on a 'clutser'; did you mean clusters? (for 2 people)",
        "p.csv, line 4: each.schemas: 'eve' is not catalog.schema",
    ]


def test_templates():
    known = {"n": 2, "slug": "ann", "on": True}
    assert filled({"a-${slug}": ["${n}", "x${n}", "$${slug}", "${on}", "b${on}"]}, known, "p", []) == {
        "a-ann": [2, "x2", "${slug}", True, "btrue"]
    }
    assert problems(filled, {"a": ["${other}"], "b": "${n} ${m}"}, known, "p") == [
        "p.a[0]: the variable ${other} is not known; known are n, on, slug",
        "p.b: the variable ${m} is not known; known are n, on, slug",
    ]
    assert names({"${a}": ["${b}", "$${c}"]}) == {"a", "b"}


def fleet(text: str) -> list[str]:
    return problems(wishes, _fleet(text), right(checked, [(f"line {n}", f"p{n}@x.org") for n in (1, 2)], {}))


def _fleet(text: str) -> Fleet:
    return msgspec.convert({"fleet": "f", "people": [], **document(text, "f")}, Fleet)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("each: {schemas: [{name: main.lab}]}", "schema main.lab is wanted twice"),
        ("each: {schemas: [{name: lab}]}", "'lab' is not catalog.schema (for 2 people)"),
        ("each: {clusters: [{num_workers: 0}]}", "a cluster needs a cluster_name"),
        ("each: {clusters: [{cluster_name: '${nme}'}]}", "the variable ${nme} is not known; known are"),
        ("each: {clusters: [{cluster_name: '${slug}', policy: a, policy_id: b}]}", "not both"),
        ("each: {clusters: [{cluster_name: '${slug}', custom_tags: {Fleet: x}}]}", "custom_tags"),
        ("each: {permissions: [{on: cluster, level: CAN_RESTART}]}", "is not a type and a name"),
        ("each: {permissions: [{on: cluster x, level: CAN_RESTART, user: a@x.org, group: g}]}", "not one of user, group"),
        ("once: {permissions: [{on: cluster x, level: CAN_RESTART}]}", "not one of user, group"),
        ("once: {grants: [{on: schema a.b, privileges: [SELECT]}]}", "does not say to whom"),
        ("once: {grants: [{on: schema, to: a, privileges: [SELECT]}]}", "is not a type and a name"),
        ("once: {policies: [{name: p, definition: {}, policy_family_id: x}]}", "has both"),
        ("once: {policies: [{name: p, policy_family_definition_overrides: {a: {}}}]}", "without a policy_family_id"),
        ("each: {permissions: [{on: 'clutser ${slug}', level: CAN_RESTART}]}", "'clutser'; did you mean clusters?"),
        ("each: {permissions: [{on: 'cluster_policy x', level: CAN_USE}]}", "no permissions on a 'cluster_policy'; did you mean"),
        ("each: {permissions: [{on: 'cluster ${slug}', level: CAN_RESTRT}]}", "there are CAN_ATTACH_TO, CAN_RESTART, CAN_MANAGE"),
        ("each: {grants: [{on: 'shema a.${slug}', privileges: [SELECT]}]}", "no securable of type 'shema'; did you mean schema?"),
        ("each: {grants: [{on: 'schema a.${slug}', privileges: [USE SCHEME]}]}", "'USE_SCHEME'; did you mean USE_SCHEMA?"),
        ("each: {assignment: ADMIN}", "needs `account: true`"),
        ("each: {budgets: [{name: '${slug}', monthly: much, tags: {a: b}}]}", "monthly 'much' is not a number"),
        ("once: {budgets: [{name: x, monthly: 5, tags: {a: b}, notify: [a@x.org]}]}", "notify a@x.org of 'x': no mail is sent"),
    ],
)
def test_wrong_templates_are_named(text: str, what: str):
    assert what in "\n".join(fleet(text))


def test_what_is_needed_stands_before():
    text = """
account: true
once: {groups: [{name: g}], catalogs: [{name: main}], policies: [{name: P, definition: {}}]}
each:
  groups: [g]
  entitlements: [workspace-access]
  schemas: [{name: 'main.${slug}'}]
  grants: [{on: 'schema main.${slug}', privileges: [use schema]}]
  clusters: [{cluster_name: '${slug}', policy: P, single_user_name: '${user}'}]
  permissions: [{on: 'cluster ${slug}', level: CAN_RESTART}]
start: {clusters: stagger, then: stop, idle_minutes: 20}
"""
    made = right(wishes, _fleet(text), right(checked, [("here", "ann@x.org")], {}))
    seen: set[str] = set()
    for wish in made:
        assert set(wish.needs) <= seen, wish
        seen.add(wish.id)
    by_id = {wish.id: wish for wish in made}
    assert by_id["grant schema main.ann to ann@x.org"].fields["privileges"] == ["USE_SCHEMA"]
    assert by_id["cluster ann"].fields["autotermination_minutes"] == 20
    assert by_id["cluster ann"].fields["custom_tags"] == {"Fleet": "f"}
    assert "assignment ann@x.org" in by_id["cluster ann"].needs
    assert by_id["stop ann"].needs == ("cluster ann", "launch ann")
