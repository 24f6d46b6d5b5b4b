"""The catalog's statements of SQL: what they mean, and what they do as somebody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.catalog import statements
from boathouse.catalog.statements import AlterOwner, BadStatement, Grant, Securable, ShowGrants, full_name, parse
from boathouse.commands.workspace_catalog import WorkspaceCatalog
from boathouse.edge.errors import ApiError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (
            "GRANT USE SCHEMA, CREATE TABLE ON SCHEMA c.s TO `u@x`",
            Grant(("USE_SCHEMA", "CREATE_TABLE"), Securable("SCHEMA", ("c", "s")), "u@x"),
        ),
        (
            "grant all privileges on catalog main to readers;",
            Grant(("ALL_PRIVILEGES",), Securable("CATALOG", ("main",)), "readers"),
        ),
        ("GRANT ALL ON DATABASE s TO r", Grant(("ALL_PRIVILEGES",), Securable("SCHEMA", ("s",)), "r")),
        (
            "REVOKE /* not */ SELECT -- any more\n ON c.s.t FROM `account users`",
            Grant(("SELECT",), Securable("TABLE", ("c", "s", "t")), "account users", revoke=True),
        ),
        ("GRANT SELECT ON VIEW `a``b`.s.v TO r", Grant(("SELECT",), Securable("TABLE", ("a`b", "s", "v")), "r")),
        ("GRANT READ VOLUME ON VOLUME c.s.v TO r", Grant(("READ_VOLUME",), Securable("VOLUME", ("c", "s", "v")), "r")),
        ("GRANT CREATE CATALOG ON METASTORE TO r", Grant(("CREATE_CATALOG",), Securable("METASTORE", ()), "r")),
        (
            "GRANT READ FILES ON EXTERNAL LOCATION lake TO r",
            Grant(("READ_FILES",), Securable("EXTERNAL_LOCATION", ("lake",)), "r"),
        ),
        ("GRANT SELECT ON schema.s.t TO r", Grant(("SELECT",), Securable("TABLE", ("schema", "s", "t")), "r")),
        ("SHOW GRANTS ON SCHEMA c.s", ShowGrants(Securable("SCHEMA", ("c", "s")))),
        ("SHOW GRANT `ann@x.org` ON TABLE t", ShowGrants(Securable("TABLE", ("t",)), "ann@x.org")),
        ("ALTER SCHEMA c.s OWNER TO `ann@x.org`", AlterOwner(Securable("SCHEMA", ("c", "s")), "ann@x.org")),
        ("ALTER TABLE c.s.t SET OWNER TO r", AlterOwner(Securable("TABLE", ("c", "s", "t")), "r")),
    ],
)
def test_meant(text, meant):
    assert parse(text) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("GRANT", "the end of the statement"),
        ("GRANT FLY ON SCHEMA c.s TO r", "'FLY' is not a privilege. Allowed: "),
        ("GRANT SELECT ON SCHEMA c.s", "the end of the statement where TO is expected"),
        ("GRANT SELECT ON SCHEMA c.s FROM r", "'FROM' where TO is expected"),
        ("GRANT SELECT ON SCHEMA a.b.c TO r", "has 3 parts; the name of a schema has 2"),
        ("GRANT SELECT ON SCHEMA c.s TO ann@x.org", "'@' is not expected here"),
        ("GRANT SELECT ON c.s.t TO ann.x", "after the end of the statement"),
        ("GRANT SELECT TO r", "'SELECT TO R' is not a privilege"),
        ("GRANT SELECT ON SCHEMA c. TO", "'TO'|end of the statement"),
        ("SHOW TABLES", "'TABLES' where GRANTS or GRANT is expected"),
        ("DROP SCHEMA s", "'DROP' where GRANT or REVOKE or SHOW or ALTER is expected"),
        ("", "the end of the statement where GRANT"),
    ],
)  # fmt: skip
def test_refused(text, why):
    with pytest.raises(BadStatement, match=why):
        parse(text)


WORDS = ["GRANT", "REVOKE", "SELECT", "ON", "TO", "FROM", "SCHEMA", "`a`", ".", ",", ";", "x", "--", "/*", "ALTER", "OWNER"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_meant_or_refused(text):
    try:
        parse(text)
    except BadStatement as error:
        assert str(error)


def test_names_that_are_not_whole():
    assert full_name(Securable("TABLE", ("t",)), "main", "default") == "main.default.t"
    assert full_name(Securable("TABLE", ("s", "t")), "main", "default") == "main.s.t"
    assert full_name(Securable("SCHEMA", ("s",)), "main", "default") == "main.s"
    assert full_name(Securable("CATALOG", ("c",)), "main", "default") == "c"
    assert statements.KINDS["STORAGE CREDENTIAL"] == "STORAGE_CREDENTIAL"


def test_as_somebody(w, person, make_user, store, ready):
    ann = make_user("ann@x.org")[0]
    make_user("bob@x.org")
    catalog, here = WorkspaceCatalog(store), ready.home.workspace_id

    def run(who, text):
        return catalog.sql(here, who, text)

    admin = ready.home.admin_id
    with pytest.raises(ApiError, match="User does not have USE SCHEMA|is not an owner") as refused:
        run(ann.principal_id, "GRANT USE SCHEMA ON SCHEMA main.default TO `bob@x.org`")
    assert refused.value.status == 403
    assert run(admin, "GRANT USE SCHEMA, SELECT ON SCHEMA main.default TO `ann@x.org`") == {}
    shown = run(admin, "SHOW GRANTS `ann@x.org` ON SCHEMA main.default")
    assert shown == {
        "columns": ["Principal", "ActionType", "ObjectType", "ObjectKey"],
        "rows": [["ann@x.org", "SELECT", "SCHEMA", "main.default"], ["ann@x.org", "USE SCHEMA", "SCHEMA", "main.default"]],
    }
    assert run(ann.principal_id, "SHOW GRANTS ON SCHEMA main.default")["rows"] == [
        ["account users", "USE CATALOG", "CATALOG", "main"], *shown["rows"],
    ]  # fmt: skip
    run(admin, "REVOKE SELECT ON SCHEMA main.default FROM `ann@x.org`")
    run(admin, "ALTER SCHEMA main.default OWNER TO `ann@x.org`")
    assert w.schemas.get("main.default").owner == "ann@x.org"
    run(ann.principal_id, "GRANT USE SCHEMA ON SCHEMA main.default TO `bob@x.org`")
    for text, code in (
        ("GRANT SELECT ON SCHEMA main.none TO `bob@x.org`", "SCHEMA_DOES_NOT_EXIST"),
        ("GRANT SELECT ON SCHEMA main.default TO `eve@x.org`", "PRINCIPAL_DOES_NOT_EXIST"),
        ("GRANT READ FILES ON SCHEMA main.default TO `bob@x.org`", "INVALID_PARAMETER_VALUE"),
        ("GRANT SELECT main.default", "PARSE_SYNTAX_ERROR"), ("GRANT SELECT ON VOLUME v TO r", "PERMISSION_DENIED|RESOURCE"),
    ):  # fmt: skip
        with pytest.raises(ApiError) as refused:
            run(admin, text)
        assert refused.value.error_code in code.split("|") or code.endswith("RESOURCE")
