"""The privilege model: a table of who may do what, and rules that hold for every path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.catalog import privileges
from boathouse.catalog.privileges import (
    ALL_PRIVILEGES,
    BROWSE,
    CATALOG,
    GRANTABLE,
    MANAGE,
    METASTORE,
    PARENT,
    SCHEMA,
    TABLE,
    VOLUME,
    Level,
    manages,
    privileges_on,
    refusal_to_manage,
    refusal_to_see,
    refusal_to_use,
    sees,
    ungrantable,
)


def path(text):
    """`m c:USE_CATALOG s* v:READ_VOLUME`: levels with what was granted there; `*` is owned, `-` closed, `!` read-only."""
    kinds = {"m": METASTORE, "c": CATALOG, "s": SCHEMA, "t": TABLE, "v": VOLUME, "f": "FUNCTION", "l": "EXTERNAL_LOCATION"}
    levels, name = [], []
    for word in text.split():
        head, _, granted = word.partition(":")
        if head[0] != "m":
            name.append(head[0])
        binding = "CLOSED" if "-" in head else "READ_ONLY" if "!" in head else "OPEN"
        held = frozenset(filter(None, granted.split(",")))
        levels.append(Level(kinds[head[0]], ".".join(name) or "m", "*" in head, held, binding))
    return levels


@pytest.mark.parametrize(
    ("text", "privilege", "refused"),
    [
        ("m c:USE_CATALOG s:USE_SCHEMA v:READ_VOLUME", "READ_VOLUME", None),
        ("m c:USE_CATALOG s:USE_SCHEMA v:READ_VOLUME", "WRITE_VOLUME", "User does not have WRITE VOLUME on Volume 'c.s.v'."),
        ("m c s:USE_SCHEMA v:READ_VOLUME", "READ_VOLUME", "User does not have USE CATALOG on Catalog 'c'."),
        ("m c:USE_CATALOG s v:READ_VOLUME", "READ_VOLUME", "User does not have USE SCHEMA on Schema 'c.s'."),
        # What is granted above holds below.
        ("m c:USE_CATALOG,USE_SCHEMA,SELECT s t", "SELECT", None),
        ("m c:USE_CATALOG,USE_SCHEMA,READ_VOLUME s t", "SELECT", "User does not have SELECT on Table 'c.s.t'."),
        ("m c:ALL_PRIVILEGES s t", "SELECT", None),
        ("m c:USE_CATALOG s:ALL_PRIVILEGES v", "WRITE_VOLUME", None),
        ("m c:ALL_PRIVILEGES s", "CREATE_TABLE", None),
        ("m c:ALL_PRIVILEGES s", "EXTERNAL_USE_SCHEMA", "User does not have EXTERNAL USE SCHEMA on Schema 'c.s'."),
        ("m c:ALL_PRIVILEGES", MANAGE, "User does not have MANAGE on Catalog 'c'."),
        # To make something one needs the USE of where it comes to lie.
        ("m c:CREATE_SCHEMA", "CREATE_SCHEMA", "User does not have USE CATALOG on Catalog 'c'."),
        ("m c:USE_CATALOG,CREATE_SCHEMA", "CREATE_SCHEMA", None),
        ("m c:USE_CATALOG s:CREATE_TABLE", "CREATE_TABLE", "User does not have USE SCHEMA on Schema 'c.s'."),
        ("m* c", "CREATE_SCHEMA", None),
        ("m* c s", "CREATE_TABLE", "User does not have USE CATALOG on Catalog 'c'."),
        ("m:CREATE_CATALOG", "CREATE_CATALOG", None),
        ("m*", "CREATE_CATALOG", None),
        ("m", "CREATE_CATALOG", "User does not have CREATE CATALOG on Metastore 'm'."),
        # The owner has everything on the thing itself, and no data below it.
        ("m c* s", "USE_SCHEMA", "User does not have USE SCHEMA on Schema 'c.s'."),
        ("m c* s:USE_SCHEMA t", "SELECT", "User does not have SELECT on Table 'c.s.t'."),
        ("m c:USE_CATALOG s* v", "READ_VOLUME", "User does not have READ VOLUME on Volume 'c.s.v'."),
        ("m c:USE_CATALOG s:USE_SCHEMA v*", "WRITE_VOLUME", None),
        ("m c s:USE_SCHEMA v*", "WRITE_VOLUME", "User does not have USE CATALOG on Catalog 'c'."),
        ("m c*", "CREATE_SCHEMA", None),
        ("m c:USE_CATALOG s*", "CREATE_VOLUME", None),
        # Bindings.
        ("m c-:ALL_PRIVILEGES s t", "SELECT", "Catalog 'c' is not accessible in current workspace."),
        ("m* c-", "CREATE_SCHEMA", "Catalog 'c' is not accessible in current workspace."),
        ("m c!:ALL_PRIVILEGES s t", "SELECT", None),
        ("m c!:ALL_PRIVILEGES s t", "MODIFY", "Catalog 'c' is bound to the current workspace read-only."),
        ("m l:READ_FILES", "READ_FILES", None),
        ("m l:READ_FILES", "WRITE_FILES", "User does not have WRITE FILES on External Location 'l'."),
    ],
)
def test_use(text, privilege, refused):
    assert refusal_to_use(path(text), privilege) == refused


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("m* c s t", True), ("m c* s t", True), ("m c s* t", False), ("m c:USE_CATALOG s* t", True),
        ("m c:USE_CATALOG s t*", False), ("m c:USE_CATALOG s:USE_SCHEMA t*", True), ("m c:MANAGE s t", True),
        ("m c s:MANAGE t", False), ("m c:USE_CATALOG s:MANAGE t", True), ("m c:ALL_PRIVILEGES s t", False),
        ("m c:USE_CATALOG s:USE_SCHEMA t:MANAGE", True), ("m c:USE_CATALOG s:USE_SCHEMA t:SELECT,MODIFY", False),
        ("m c", False), ("m", False), ("m*", True), ("m c*-", False), ("m c*!", False), ("m l*", True), ("m l:MANAGE", True),
    ],
)  # fmt: skip
def test_manage(text, allowed):
    assert (refusal_to_manage(path(text)) is None) == allowed


@pytest.mark.parametrize(
    ("text", "seen", "browsed"),
    [
        ("m c", False, False), ("m c:USE_CATALOG", True, True), ("m c:BROWSE", False, True), ("m c:BROWSE s t", False, True),
        ("m c:USE_CATALOG s", False, False), ("m c:USE_CATALOG s:CREATE_TABLE", False, False),
        ("m c:USE_CATALOG s:USE_SCHEMA", True, True), ("m c s:USE_SCHEMA", False, False),
        ("m c:USE_CATALOG s:USE_SCHEMA t", False, False), ("m c:USE_CATALOG s:USE_SCHEMA t:SELECT", True, True),
        ("m c:USE_CATALOG,USE_SCHEMA,BROWSE s t", False, True), ("m c:ALL_PRIVILEGES s t", True, True),
        ("m c* s t", True, True), ("m* c s t", True, True), ("m*", True, True), ("m", False, False),
        ("m:CREATE_CATALOG", False, False), ("m c-*", False, False), ("m c-:BROWSE", False, False),
        ("m c!:USE_CATALOG", True, True),
        ("m l:READ_FILES", True, True), ("m l:BROWSE", False, True), ("m l", False, False),
    ],
)  # fmt: skip
def test_see(text, seen, browsed):
    assert (sees(path(text)), sees(path(text), browse=True)) == (seen, browsed)
    assert (refusal_to_see(path(text)) is None) == seen


def test_what_can_be_granted():
    assert ungrantable(TABLE, "SELECT") is None
    assert ungrantable(TABLE, "READ_VOLUME").startswith("Privilege READ_VOLUME is not applicable to this entity [TABLE].")
    assert ungrantable(METASTORE, MANAGE) and ungrantable(VOLUME, BROWSE) and ungrantable(SCHEMA, "USE_CATALOG")


ROUTES = [(METASTORE,)]
for kind in PARENT:
    route = [kind]
    while route[0] != METASTORE:
        route.insert(0, PARENT[route[0]])
    ROUTES.append(tuple(route))


@st.composite
def paths(draw):
    route = draw(st.sampled_from(ROUTES))
    return tuple(
        Level(
            kind, kind.lower(), draw(st.booleans()) if draw(st.booleans()) else False,
            frozenset(draw(st.sets(st.sampled_from(sorted(GRANTABLE[kind])), max_size=4))),
            draw(st.sampled_from(["OPEN", "OPEN", "OPEN", "READ_ONLY", "CLOSED"])) if kind in route[1:2] else "OPEN",
        )
        for kind in route
    )  # fmt: skip


def answers(levels):
    """Everything that can be asked of a path."""
    return {
        "see": sees(levels), "browse": sees(levels, browse=True), "manage": refusal_to_manage(levels) is None,
        **{privilege: refusal_to_use(levels, privilege) is None for privilege in sorted(GRANTABLE[levels[-1].kind])},
    }  # fmt: skip


@given(paths(), st.data())
def test_more_grants_never_allow_less(levels, data):
    at = data.draw(st.integers(0, len(levels) - 1))
    level = levels[at]
    more = data.draw(st.sampled_from(sorted(GRANTABLE[level.kind])))
    richer = list(levels)
    richer[at] = Level(level.kind, level.name, level.owned, level.granted | {more}, level.binding)
    before, after = answers(levels), answers(richer)
    assert all(after[question] for question, allowed in before.items() if allowed)


@given(paths())
def test_who_has_nothing_may_do_nothing(levels):
    bare = [Level(level.kind, level.name, False, frozenset(), level.binding) for level in levels]
    assert not any(answers(bare).values())


@given(paths())
def test_a_closed_catalog_is_closed_to_everybody(levels):
    if len(levels) > 1:
        shut = [*levels[:1], Level(levels[1].kind, levels[1].name, True, levels[1].granted, "CLOSED"), *levels[2:]]
        assert not any(answers(shut).values())


@given(paths())
def test_what_may_be_used_may_be_seen(levels):
    if len(levels) > 1 and levels[-1].kind not in privileges.USE:
        usable = {p for p, yes in answers(levels).items() if yes and p.isupper() and p not in (BROWSE, ALL_PRIVILEGES)}
        assert not usable or sees(levels)


@given(paths())
def test_no_data_without_the_way_to_it(levels):
    for privilege in ("SELECT", "READ_VOLUME", "EXECUTE"):
        if len(levels) == 4 and refusal_to_use(levels, privilege) is None:
            assert "USE_CATALOG" in privileges_on(levels[:2]) and "USE_SCHEMA" in privileges_on(levels[:3])


@given(paths())
def test_managing_alone_gives_no_data(levels):
    """MANAGE, owners above and metastore admins: none of them reads a table that was not granted."""
    only = [
        Level(level.kind, level.name, level.owned and at < len(levels) - 1, level.granted & {MANAGE, "USE_CATALOG", "USE_SCHEMA"})
        for at, level in enumerate(levels)
    ]
    if len(only) == 4:
        assert refusal_to_use(only, "SELECT") and refusal_to_use(only, "READ_VOLUME") and refusal_to_use(only, "EXECUTE")


@given(paths())
def test_refusals_are_words(levels):
    for refusal in (refusal_to_see(levels), refusal_to_manage(levels), refusal_to_use(levels, "SELECT")):
        assert refusal is None or refusal.endswith(".")
    assert manages(levels) or not levels[0].owned
