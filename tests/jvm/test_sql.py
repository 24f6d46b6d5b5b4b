"""SQL on a running driver: cells, schemas, truncation, errors, several statements, cancelling."""

import pytest

pytestmark = pytest.mark.spark

CELLS = [
    ("1", "int", 1),
    ("9007199254740993L", "bigint", 9007199254740993),
    ("cast(1 as tinyint)", "tinyint", 1),
    ("1.50", "decimal(3,2)", "1.50"),
    ("1e38 * 10", "double", 1e39),
    ("double('NaN')", "double", "NaN"),
    ("float(0.1)", "float", 0.1),
    ("true", "boolean", True),
    ("'a\"b\\\\n\u00e9'", "string", 'a"b\\n\u00e9'),
    ("null", "void", None),
    ("date'2024-02-29'", "date", "2024-02-29"),
    ("timestamp'2024-02-29 12:00:00.123456Z'", "timestamp", "2024-02-29T12:00:00.123456+00:00"),
    ("timestamp_ntz'2024-02-29 12:00:00'", "timestamp_ntz", "2024-02-29T12:00:00.000"),
    ("X'00FF'", "binary", "AP8="),
    ("array(1, null)", "array<int>", [1, None]),
    ("map('k', array(1.5D))", "map<string,array<double>>", {"k": [1.5]}),
    ("named_struct('a', 1, 'b', named_struct('c', 'x'))", "struct<a:int,b:struct<c:string>>", {"a": 1, "b": {"c": "x"}}),
]


def test_every_type_of_cell(cluster) -> None:
    statement = "SELECT " + ", ".join(f"{text} AS c{number}" for number, (text, _, _) in enumerate(CELLS))
    assert cluster.sql("SET spark.sql.session.timeZone = UTC", "cells")["state"] == "finished"
    answer = cluster.sql(statement, "cells")
    assert answer["state"] == "finished", answer
    assert answer["data"] == [[value for _, _, value in CELLS]]
    assert [field["type"] for field in answer["schema"]] == [kind for _, kind, _ in CELLS]
    assert answer["schema"][0] == {"name": "c0", "type": "int", "json": '"integer"', "metadata": "{}"}


@pytest.mark.parametrize("rows, truncated", [(9, True), (10, False), (11, False), (0, True)])
def test_rows_beyond_the_limit_are_cut_and_said(cluster, rows: int, truncated: bool) -> None:
    answer = cluster.sql("SELECT id FROM range(10) ORDER BY id", max_rows=rows)
    assert answer["truncated"] is truncated
    assert answer["data"] == [[i] for i in range(min(rows, 10))]


def test_bytes_beyond_the_limit_are_cut_and_said(cluster) -> None:
    answer = cluster.sql("SELECT repeat('x', 1000) FROM range(100)", max_bytes=10_000)
    assert answer["truncated"] is True
    assert 9 <= len(answer["data"]) <= 12


@pytest.mark.parametrize(
    "statement, summary",
    [
        ("SELECT * FROM no_such_table", "AnalysisException: [TABLE_OR_VIEW_NOT_FOUND]"),
        ("SELEC 1", "ParseException: [PARSE_SYNTAX_ERROR]"),
        ("SELECT raise_error('my words')", "my words"),
    ],
)
def test_an_error_has_a_line_and_a_trace(cluster, statement: str, summary: str) -> None:
    answer = cluster.sql(statement)
    assert answer["state"] == "error"
    assert summary in answer["summary"] and "\n" not in answer["summary"]
    assert "\tat org.apache.spark" in answer["cause"]


def test_several_statements_run_in_turn_and_the_last_one_shows(cluster) -> None:
    answer = cluster.sql(
        "-- a; comment\nCREATE TEMPORARY VIEW three AS SELECT 'a;b' AS x; /* ; /* ; */ */\nSELECT x FROM three;\n;",
        "several",
    )
    assert answer["data"] == [["a;b"]]


@pytest.mark.parametrize("statement", ["", " ; ;", "-- only words", "/* more */"])
def test_nothing_to_run_is_an_empty_table(cluster, statement: str) -> None:
    answer = cluster.sql(statement)
    assert (answer["state"], answer["schema"], answer["data"]) == ("finished", [], [])


def test_a_command_without_a_result_has_no_columns(cluster) -> None:
    answer = cluster.sql("CREATE OR REPLACE TEMPORARY VIEW nothing AS SELECT 1")
    assert (answer["state"], answer["schema"], answer["data"]) == ("finished", [], [])


def test_contexts_do_not_see_each_others_views_and_forget_them(cluster) -> None:
    assert cluster.call("POST", "/sessions", {"context": "one"}) == (200, {})
    assert cluster.sql("CREATE TEMPORARY VIEW mine AS SELECT 1", "one")["state"] == "finished"
    assert cluster.sql("SELECT * FROM mine", "one")["state"] == "finished"
    assert cluster.sql("SELECT * FROM mine", "two")["state"] == "error"
    assert cluster.call("DELETE", "/sessions/one") == (200, {"removed": True})
    assert cluster.call("DELETE", "/sessions/one") == (200, {"removed": False})
    assert cluster.sql("SELECT * FROM mine", "one")["state"] == "error"


def test_delta_is_the_default_format(cluster) -> None:
    answer = cluster.sql("CREATE TABLE kept AS SELECT 1 AS a; DESCRIBE DETAIL kept", "delta")
    assert answer["state"] == "finished", answer
    names = [field["name"] for field in answer["schema"]]
    assert answer["data"][0][names.index("format")] == "delta"


def test_cancel_ends_a_statement_in_the_middle_of_its_job(cluster) -> None:
    name = cluster.submit("SELECT sum(id) FROM range(0, 1000000000000, 1, 2)", "cancel")
    assert cluster.call("GET", f"/sql/{name}?wait_ms=500")[1]["state"] == "running"
    assert cluster.call("POST", "/cancel", {"id": name}) == (200, {})
    answer = cluster.call("GET", f"/sql/{name}?wait_ms=10000")[1]
    assert answer["state"] == "cancelled"
    assert cluster.sql("SELECT count(*) FROM range(10)", "cancel")["data"] == [[10]]


def test_cancel_of_an_ended_statement_changes_nothing(cluster) -> None:
    name = cluster.submit("SELECT 1")
    assert cluster.wait(name)["state"] == "finished"
    assert cluster.call("POST", "/cancel", {"id": name})[0] == 200
    assert cluster.wait(name)["state"] == "finished"


def test_the_same_id_is_not_run_twice(cluster) -> None:
    name = cluster.submit("SELECT 1")
    cluster.wait(name)
    body = {"id": name, "context": "c", "statement": "SELECT 2", "max_rows": 1}
    assert cluster.call("POST", "/sql", body)[0] == 202
    assert cluster.wait(name)["data"] == [[1]]
