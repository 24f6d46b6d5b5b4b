"""Names and addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.catalog import names


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a/b", "a\n", "a\x00", "x" * 256, "a\u2028b"])
def test_names_that_are_none(name):
    with pytest.raises(names.BadName, match="is not a valid name. Valid names cannot contain spaces, periods, forward slashes"):
        names.checked(name, "CreateCatalog", "CatalogInfo.name")


@given(st.text(min_size=1, max_size=300))
def test_a_name_stays_one_part_of_a_full_name(name):
    try:
        kept = names.checked(name, "CreateSchema", "SchemaInfo.name")
    except names.BadName:
        return
    assert names.split("SCHEMA", names.full("c", kept))[0] == "c"


def test_full_names():
    assert names.split("VOLUME", "Main.S.v") == ["main", "s", "v"]
    assert names.split("CATALOG", "main") == ["main"]
    assert names.above(["a", "b", "c"]) == ["a", "a.b", "a.b.c"]
    for kind, full_name in (("TABLE", "a.b"), ("SCHEMA", "a"), ("SCHEMA", "a.b.c"), ("VOLUME", "a..c"), ("CATALOG", "")):
        with pytest.raises(names.BadName):
            names.split(kind, full_name)


def test_addresses():
    assert names.address("s3://b/a/") == "s3://b/a"
    assert names.within("s3://b/a/x", "s3://b/a") and not names.within("s3://b/ab", "s3://b/a")
    assert names.overlap("s3://b", "s3://b/a") and not names.overlap("s3://b", "s3://bb")
    for url in ("", "/x", "s3://", "file:///etc", "http://x/y", "s3://b/../c"):
        with pytest.raises(names.BadName):
            names.address(url)
