"""What PATCH does to a document, operation by operation, as SDK, Terraform, Okta and Entra write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.identity.scim_patches import BadPatch, Members, Operation, apply
from boathouse.identity.scim_schemas import attributes

USER = attributes("user", False)
GROUP = attributes("group", False)
WORK = {"value": "a@x.org", "type": "work", "primary": True}
HOME = {"value": "a@home.org", "type": "home"}


def ann():
    return {
        "id": "1", "userName": "ann@x.org", "displayName": "Ann", "name": {"givenName": "Ann"}, "active": True,
        "emails": [dict(WORK), dict(HOME)], "entitlements": [{"value": "workspace-access"}], "groups": [],
    }  # fmt: skip


def patched(*operations, schema=USER, document=None, there=()):
    document = ann() if document is None else document
    members = Members(lambda: [{"value": one, "display": f"d{one}"} for one in there])
    apply(document, [Operation(*operation) for operation in operations], schema, members)
    return document, members


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        (("replace", "displayName", "Bea"), {"displayName": "Bea"}),
        (("add", "DISPLAYNAME", "Bea"), {"displayName": "Bea"}),
        (("replace", "active", False), {"active": False}),
        (("replace", "active", "False"), {"active": False}),
        (("replace", None, {"active": False, "displayName": "Bea"}), {"active": False, "displayName": "Bea"}),
        (("replace", None, {"name.givenName": "Bea"}), {"name": {"givenName": "Bea"}}),
        (("add", "name.familyName", "X"), {"name": {"givenName": "Ann", "familyName": "X"}}),
        (("add", "name", {"familyName": "X"}), {"name": {"givenName": "Ann", "familyName": "X"}}),
        (("replace", "name", {"familyName": "X"}), {"name": {"familyName": "X"}}),
        (("remove", "name.givenName", None), {"name": {}}),
        (("add", "externalId", "e"), {"externalId": "e"}),
        (("add", "urn:ietf:params:scim:schemas:core:2.0:User:externalId", "e"), {"externalId": "e"}),
        (("add", "entitlements", [{"value": "allow-cluster-create"}]),
         {"entitlements": [{"value": "workspace-access"}, {"value": "allow-cluster-create"}]}),
        (("add", "entitlements", {"value": "workspace-access"}), {}),
        (("add", None, {"entitlements": [{"value": "workspace-access"}]}), {}),
        (("replace", "entitlements", []), {"entitlements": []}),
        (("remove", 'entitlements[value eq "workspace-access"]', None), {"entitlements": []}),
        (("remove", 'entitlements[value eq "workspace-consume"]', None), {}),
        (("remove", "entitlements", [{"value": "workspace-access"}]), {"entitlements": []}),
        (("replace", 'emails[type eq "work"].value', "b@x.org"), {"emails": [{**WORK, "value": "b@x.org"}, HOME]}),
        (("replace", 'emails[type eq "home" or primary eq true]', {"display": "d"}),
         {"emails": [{**WORK, "display": "d"}, {**HOME, "display": "d"}]}),
        (("remove", 'emails[not (type eq "work")]', None), {"emails": [WORK]}),
        (("remove", 'emails[type eq "work"].primary', None), {"emails": [{"value": "a@x.org", "type": "work"}, HOME]}),
        (("add", 'emails[type eq "other"].value', "o@x.org"),
         {"emails": [WORK, HOME, {"type": "other", "value": "o@x.org"}]}),
        (("add", "emails", [{"value": "new@x.org", "primary": True}]),
         {"emails": [{**WORK, "primary": False}, HOME, {"value": "new@x.org", "primary": True}]}),
        (("replace", "userName", "ann@x.org"), {}),
    ],
)  # fmt: skip
def test_one_operation(operation, changes):
    document, members = patched(operation)
    assert document == ann() | changes and not members.touched


@pytest.mark.parametrize(
    ("operation", "scim_type", "why"),
    [
        (("move", "displayName", "x"), "invalidSyntax", "add, remove, replace"),
        (("replace", "nick", "x"), "invalidPath", "No such attribute with the name : nick"),
        (("remove", "externalId", None), "invalidPath", "No such attribute with the name : externalId in the current resource"),
        (("remove", None, None), "noTarget", "needs a path"),
        (("replace", "active", None), "invalidValue", "replace of active needs a value"),
        (("add", None, {"displayName": None}), "invalidValue", "add of displayName needs a value"),
        (("add", None, "x"), "invalidValue", "object of attributes"),
        (("replace", "id", "2"), "mutability", "given by the server"),
        (("add", "groups", [{"value": "1"}]), "mutability", "given by the server"),
        (("replace", "userName", "bob@x.org"), "mutability", "cannot be changed"),
        (("remove", "userName", None), "mutability", "cannot be changed"),
        (("remove", "active", None), "mutability", "cannot be removed"),
        (("replace", 'emails[type eq "other"].value', "x"), "noTarget", "chooses no value"),
        (("replace", "emails[type eq]", "x"), "invalidPath", "Invalid path"),
        (("replace", 'emails[nick eq "x"].value', "x"), "invalidFilter", "no attribute 'nick'"),
        (("replace", 'name[givenName eq "x"]', "x"), "invalidPath", "no brackets"),
        (("replace", 'emails.type eq "x"', "x"), "invalidPath", "brackets"),
        (("replace", "emails.nick", "x"), "invalidPath", "has no part"),
        (("add", "entitlements", ["x"]), "invalidValue", "is an object"),
        (("add", "displayName." + "x" * 10_001, "x"), "invalidPath", "limit"),
    ],
)
def test_what_cannot_be_done_is_said(operation, scim_type, why):
    with pytest.raises(BadPatch, match=why) as refused:
        patched(operation)
    assert refused.value.scim_type == scim_type


def test_operations_are_counted():
    with pytest.raises(BadPatch, match="Missing required field 'Operations'"):
        patched()
    with pytest.raises(BadPatch, match="limit is 1000"):
        patched(*[("add", "displayName", "x")] * 1001)


@pytest.mark.parametrize(
    ("operations", "whole", "added", "removed"),
    [
        ([("add", "members", [{"value": "7"}, {"value": "8"}])], False, ["7", "8"], []),
        ([("add", None, {"members": [{"value": "7"}]})], False, ["7"], []),
        ([("remove", 'members[value eq "1"]', None)], False, [], ["1"]),
        ([("remove", "members", [{"value": "1"}])], False, [], ["1"]),
        ([("remove", "members", None)], True, [], []),
        ([("replace", "members", [{"value": "1"}])], True, ["1"], []),
        ([("remove", 'members[display sw "d1"]', None)], False, [], ["1", "12"]),
        ([("add", "members", [{"value": "7"}]), ("remove", 'members[value eq "7"]', None)], False, [], ["7"]),
        ([("remove", 'members[value eq "1"]', None), ("add", "members", {"value": "1"})], False, ["1"], []),
        ([("remove", "members", None), ("add", "members", [{"value": "3"}])], True, ["3"], []),
        ([("replace", "members", [{"value": "3"}, {"value": "4"}]), ("remove", 'members[value ne "3"]', None)], True, ["3"],
         ["4"]),
    ],
)  # fmt: skip
def test_members(operations, whole, added, removed):
    document, members = patched(*operations, schema=GROUP, document={"displayName": "g"}, there=("1", "12", "3"))
    assert document == {"displayName": "g"}
    assert (members.whole, list(members.added), sorted(members.removed)) == (whole, added, removed)


@pytest.mark.parametrize(
    "operation",
    [("add", "members", ["7"]), ("add", "members", None), ("add", "members.value", "7"),
     ("replace", 'members[value eq "1"]', {"value": "2"}), ("replace", 'members[value eq "1"].value', "2")],
)  # fmt: skip
def test_members_are_whole(operation):
    with pytest.raises(BadPatch):
        patched(operation, schema=GROUP, document={})


INNER = st.none() | st.booleans() | st.text(max_size=5)
JSON = st.recursive(INNER, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
NAMES = st.sampled_from(["emails", "name", "active", "displayName", "entitlements", 'emails[type eq "work"]', "emails.value"])


OPERATION = st.tuples(st.sampled_from(["add", "remove", "replace"]), NAMES | st.text(max_size=20) | st.none(), JSON)


@given(st.lists(OPERATION, max_size=4))
def test_any_patch_is_done_or_refused(operations):
    try:
        patched(*operations)
    except BadPatch as error:
        assert error.scim_type
