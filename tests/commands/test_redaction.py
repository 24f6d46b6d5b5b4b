"""Redaction and bounding of results: pure rules."""

import json

from hypothesis import given
from hypothesis import strategies as st

from boathouse.commands import results
from boathouse.workspace.redaction import Redaction

texts = st.text(min_size=3, max_size=20)


@given(texts, st.text(max_size=30), st.text(max_size=30))
def test_a_value_never_survives_however_it_is_printed(value, before, after):
    redaction = Redaction({value})
    for printed in (value, repr(value)[1:-1], json.dumps(value)[1:-1]):
        shown = redaction.document({"data": before + printed + after, "rows": [[printed]]})
        assert shown["rows"] == [["[REDACTED]"]]
        assert value not in shown["data"].replace("[REDACTED]", "\0")


def test_the_longest_value_goes_first():
    assert Redaction({"abc", "abcdef"}).text("abcdef abc") == "[REDACTED] [REDACTED]"


def test_numbers_names_and_lines_are_looked_at_and_flags_are_not():
    redaction = Redaction({"12345", "-----BEGIN KEY-----\nMIIabcdefghi\n-----END KEY-----"})
    document = {"data": [[12345, 99, True, None, 1.5]], "12345": "MIIabcdefghi"}
    assert redaction.document(document) == {"data": [["[REDACTED]", 99, True, None, 1.5]], "[REDACTED]": "[REDACTED]"}


def test_short_values_and_no_values_change_nothing():
    assert Redaction({"1", "ab"}).document({"data": "1 ab"}) == {"data": "1 ab"}
    assert Redaction(()).text("x") == "x"


@given(st.text(max_size=3000))
def test_text_is_cut_to_the_limit_and_says_so(text):
    kept = json.loads(results.encode(results.text(text), limit=500))
    whole = len(json.dumps({"resultType": "text", "data": text}, ensure_ascii=False, separators=(",", ":")).encode()) <= 500
    assert text.startswith(kept["data"])
    assert kept.get("truncated", False) == (not whole)
    assert len(json.dumps(kept, ensure_ascii=False).encode()) <= 700


def test_rows_are_cut_from_the_end():
    table = {"resultType": "table", "data": [[i, "x" * 100] for i in range(1000)], "schema": [], "truncated": False}
    kept = json.loads(results.encode(table, limit=10_000))
    assert kept["truncated"] is True
    assert 50 < len(kept["data"]) < 100
    assert kept["data"] == table["data"][: len(kept["data"])]


def test_an_image_that_is_too_large_becomes_an_error():
    image = {"resultType": "image", "fileName": "data:image/png;base64," + "A" * 5000}
    assert json.loads(results.encode(image, limit=1000))["resultType"] == "error"


def test_what_a_repl_says_is_held_to_the_api():
    assert results.from_repl({"resultType": "text", "data": "x", "extra": 1, "summary": 5}) == {"resultType": "text", "data": "x"}
    for wrong in (None, [], {"resultType": "html"}, {"data": "x"}):
        assert results.from_repl(wrong)["resultType"] == "error"
    assert results.from_repl({"resultType": "table"}) == {"resultType": "table", "schema": [], "data": [], "truncated": False}
