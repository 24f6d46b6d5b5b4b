"""Who may do what with a cluster: by level, for admins and creators everything; one principal alone attaches to a dedicated one,
and needs a level too."""

import inspect

import pytest

from boathouse.auth.permissions import lists
from boathouse.compute import access
from boathouse.edge import ApiError, Caller
from boathouse.identity import principals
from tests.compute.conftest import API, SPEC

VERBS = ["start", "restart", "delete", "permanent-delete", "events"]


def test_a_stranger_is_refused_everywhere(cluster_api, make_user):
    ann, ann_token = make_user("ann@x.org")
    bob, bob_token = make_user("bob@x.org")
    made = cluster_api.as_(ann_token).create()
    as_bob = cluster_api.as_(bob_token)
    for verb in VERBS:
        status, code, message = as_bob.refused(verb, cluster_id=made)
        assert (status, code) == (403, "PERMISSION_DENIED"), verb
        assert "bob@x.org does not have" in message and made in message
    assert as_bob.refused("edit", cluster_id=made, **SPEC)[0] == 403
    assert as_bob.refused("update", cluster_id=made, update_mask="num_workers", cluster={"num_workers": 1})[0] == 403
    assert as_bob.refused("resize", cluster_id=made, num_workers=1)[0] == 403
    assert as_bob.refused("change-owner", cluster_id=made, owner_username="bob@x.org")[0] == 403
    assert as_bob.refused("create", **SPEC, clone_from={"source_cluster_id": made})[0] == 403
    for path in (f"/api/2.1/clusters/get?cluster_id={made}", f"/api/2.0/boathouse/clusters/{made}/timeline"):
        assert cluster_api.api.get(path, token=bob_token).status_code == 403
    for verb in ("pin", "unpin"):
        assert as_bob.refused(verb, cluster_id=made)[0] == 403
    assert cluster_api.get(made)["state"] == "PENDING"


def test_every_endpoint_with_a_cluster_is_tried_by_the_stranger():
    """An endpoint that is added must be asked by a stranger too."""
    import importlib

    asked = {
        mark["path"].rsplit("/", 1)[-1]
        for name in API
        for function in vars(importlib.import_module(name)).values()
        if inspect.isfunction(function) and function.__module__ == name
        for mark in getattr(function, "endpoints", ())
    }
    open_to_all = {"create", "list", "spark-versions", "list-node-types", "list-zones", "{code}"}
    assert asked - open_to_all == {
        *VERBS, "get", "edit", "update", "resize", "change-owner", "pin", "unpin", "timeline",
        "{object_id}", "permissionLevels",  # in tests/clients/test_every_route.py
    }  # fmt: skip


def test_who_may_create(api_of, store, ready, around, make_user):
    from boathouse.identity import registry
    from tests.compute.conftest import ClustersApi

    api = ClustersApi(api_of(*API), store)
    ann, token = make_user("ann@x.org")
    refused = api.as_(token).refused("create", **SPEC)
    assert refused == (
        403, "PERMISSION_DENIED", "You are not authorized to create clusters. Please contact your administrator.",
    )  # fmt: skip
    api.create()
    home = ready.home
    with store.transaction() as tx:
        registry.grant_entitlements(tx, home.workspace_id, ann.principal_id, ["databricks-sql-access"])
    assert api.as_(token).refused("create", **SPEC)[0] == 403
    with store.transaction() as tx:
        registry.grant_entitlements(tx, home.workspace_id, ann.principal_id, ["allow-cluster-create"])
    assert api.as_(token).get(api.as_(token).create())["creator_user_name"] == "ann@x.org"


def test_another_workspace_sees_nothing(cluster_api, store, ready):
    made = cluster_api.create()
    elsewhere = Caller(ready.home.admin_id, "x", "user", workspace_id=2, admin=True)
    with store.read() as reader, pytest.raises(ApiError, match="does not exist"):
        access.find(reader, elsewhere, made, "see")


@pytest.mark.parametrize(
    ("mode", "single", "who", "admitted"),
    [
        (None, None, "ann@x.org", True),
        ("NONE", None, "admin", True),
        ("NONE", None, "bob@x.org", False),
        ("SINGLE_USER", None, "ann@x.org", True),
        ("SINGLE_USER", None, "admin", False),
        ("SINGLE_USER", "admin", "ann@x.org", False),
        ("SINGLE_USER", "admin", "admin", True),
        ("SINGLE_USER", "bob@x.org", "bob@x.org", False),  # named, and without a level
        ("DATA_SECURITY_MODE_DEDICATED", "bob@x.org", "ann@x.org", False),
        ("LEGACY_SINGLE_USER", None, "admin", False),
        ("DATA_SECURITY_MODE_AUTO", None, "ann@x.org", True),
    ],
)
def test_attach(cluster_api, store, ready, make_user, mode, single, who, admitted):
    tokens = {name: make_user(name) for name in ("ann@x.org", "bob@x.org")}
    names = {**{name: name for name in tokens}, "admin": ready.home.admin}
    more = {"data_security_mode": mode, "single_user_name": names[single] if single else None}
    made = cluster_api.as_(tokens["ann@x.org"][1]).create(**{key: value for key, value in more.items() if value})
    principal = ready.home.admin_id if who == "admin" else tokens[who][0].principal_id
    caller = Caller(principal, names[who], "user", ready.home.workspace_id, admin=who == "admin")
    with store.read() as reader:
        if admitted:
            assert access.find(reader, caller, made, "attach").cluster_id == made
        else:
            with pytest.raises(ApiError) as refused:
                access.find(reader, caller, made, "attach")
            assert refused.value.status == 403


def test_the_single_user_is_compared_without_regard_to_case(cluster_api, store, ready, make_user):
    ann, token = make_user("Ann@x.org")
    made = cluster_api.as_(token).create(data_security_mode="SINGLE_USER", single_user_name="ann@X.org")
    caller = Caller(ann.principal_id, ann.name, "user", ready.home.workspace_id)
    with store.read() as reader:
        assert access.find(reader, caller, made, "attach").cluster_id == made


MAY = {
    None: set(),
    "CAN_ATTACH_TO": {"see", "attach"},
    "CAN_RESTART": {"see", "attach", "restart"},
    "CAN_MANAGE": {"see", "attach", "restart", "manage"},
}


@pytest.mark.parametrize("through_group", [False, True])
@pytest.mark.parametrize("level", MAY)
def test_levels(cluster_api, store, ready, make_user, level, through_group):
    bob, _ = make_user("bob@x.org", groups=["crew"])
    made = cluster_api.create(data_security_mode="NONE")
    with store.transaction() as tx:
        groups = principals.groups_of(tx, bob.principal_id, ready.home.workspace_id)
        crew = next(group.group_id for group in groups if group.name == "crew")
        given = {crew if through_group else bob.principal_id: level} if level else {}
        lists.replace(tx, ready.home.workspace_id, "clusters", made, given)
    ids = frozenset(group.group_id for group in groups)
    caller = Caller(bob.principal_id, bob.name, "user", ready.home.workspace_id, group_ids=ids)
    admitted = set()
    with store.read() as reader:
        for need in ("see", "attach", "restart", "manage"):
            try:
                access.find(reader, caller, made, need)
                admitted.add(need)
            except ApiError as refused:
                assert refused.status == 403
    assert admitted == MAY[level]
