"""Policies by the unmodified SDK: who writes them, who uses them, what they make of clusters, and compliance."""

import dataclasses
import inspect
import json

import msgspec
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceAlreadyExists
from databricks.sdk.service import compute as sdk
from databricks.sdk.service.compute import (
    ClusterPolicyAccessControlRequest,
    ClusterPolicyPermissionLevel,
)
from sqlalchemy import insert, select, update

from boathouse.account.settings import PERSONAL_COMPUTE
from boathouse.account.tables import account_settings
from boathouse.compute.policies import enforcement
from boathouse.compute.tables import cluster_libraries, clusters
from boathouse.identity import principals, registry
from boathouse.wire import policies as wire
from tests.compute.conftest import API

Mode, Result = sdk.EnforcePolicyComplianceForClusterEnforceMode, sdk.EnforcePolicyComplianceForClusterResponseEnforceResult
RUNTIME = "17.3.x-scala2.13"
PLAIN = {"spark_version": RUNTIME, "node_type_id": "i3.xlarge", "num_workers": 1}
MODULES = ["boathouse.compute.policies.api", "boathouse.compute.policies.compliance", "boathouse.compute.libraries.api"]


@pytest.fixture
def host(served, ready, around):
    return served(*API, *MODULES, "boathouse.auth.discovery", "boathouse.identity.me")


@pytest.fixture
def admin(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


@pytest.fixture
def person(host, make_user):
    return lambda name, *groups: WorkspaceClient(host=host, token=make_user(name, groups=groups)[1])


@pytest.fixture
def becomes(store):
    def write(cluster_id, state):
        with store.transaction() as tx:
            tx.execute(
                update(clusters).where(clusters.c.cluster_id == cluster_id).values(state=state, version=clusters.c.version + 1)
            )

    return write


def made(client, **fields):
    return client.clusters.create(**{**PLAIN, **fields}).response.cluster_id


def policy(admin, name="p", users=(), **rules):
    options = {key: rules.pop(key) for key in ("libraries", "max_clusters_per_user") if key in rules}
    paths = {path.replace("__", "."): rule for path, rule in rules.items()}
    policy_id = admin.cluster_policies.create(name=name, definition=json.dumps(paths), **options).policy_id
    for user in users:
        give(admin, policy_id, user_name=user)
    return policy_id


def give(admin, policy_id, **whom):
    level = ClusterPolicyPermissionLevel.CAN_USE
    entry = ClusterPolicyAccessControlRequest(permission_level=level, **whom)
    admin.cluster_policies.update_permissions(policy_id, access_control_list=[entry])


def fixed(value):
    return {"type": "fixed", "value": value}


def entitle(store, ready, name):
    with store.transaction() as tx:
        found = principals.by_name(tx, ready.home.account_id, name)
        registry.grant_entitlements(tx, ready.home.workspace_id, found.principal_id, ["allow-cluster-create"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (name, name)
        for name in (
            "Policy",
            "PolicyFamily",
            "ListPoliciesResponse",
            "ListPolicyFamiliesResponse",
            "ClusterSettingsChange",
            "PendingEnforcement",
            "GetClusterComplianceResponse",
            "ClusterCompliance",
            "ListClusterCompliancesResponse",
            "EnforceClusterComplianceResponse",
        )
    ],
)
def test_structs_have_the_sdks_fields(ours, theirs):
    fields = {field.encode_name for field in msgspec.structs.fields(getattr(wire, ours))}
    assert fields == {field.name for field in dataclasses.fields(getattr(sdk, theirs))}


@pytest.mark.parametrize(
    ("api", "method", "name"),
    [
        ("ClusterPoliciesAPI", "create", "PolicyFields"),
        ("ClusterPoliciesAPI", "edit", "EditPolicy"),
        ("ClusterPoliciesAPI", "delete", "PolicyId"),
        ("ClusterPoliciesAPI", "get", "PolicyId"),
        ("ClusterPoliciesAPI", "list", "ListPoliciesQuery"),
        ("PolicyFamiliesAPI", "list", "ListPolicyFamilies"),
        ("PolicyComplianceForClustersAPI", "get_compliance", "ClusterIdOfCompliance"),
        ("PolicyComplianceForClustersAPI", "list_compliance", "ListClusterCompliances"),
        ("PolicyComplianceForClustersAPI", "enforce_compliance", "EnforceClusterCompliance"),
        ("PolicyComplianceForClustersAPI", "cancel_pending_cluster_enforcement", "CancelPendingClusterEnforcement"),
    ],
)
def test_bodies_have_the_sdks_arguments(api, method, name):
    ours = {field.encode_name for field in msgspec.structs.fields(getattr(wire, name))}
    assert ours == set(inspect.signature(getattr(getattr(sdk, api), method)).parameters) - {"self"}


def test_a_policy_comes_back_as_it_was_sent(admin):
    text = '{"num_workers": {"type": "range", "maxValue": 10}}'
    libraries = [sdk.Library(pypi=sdk.PythonPyPiLibrary(package="six==1.16.0"))]
    sent = {"name": "Small", "definition": text, "description": "d", "max_clusters_per_user": 3, "libraries": libraries}
    policy_id = admin.cluster_policies.create(**sent).policy_id
    assert len(policy_id) == 16 and policy_id == policy_id.upper()
    shown = admin.cluster_policies.get(policy_id)
    assert {name: getattr(shown, name) for name in sent} == sent
    assert (shown.creator_user_name, shown.is_default) == (admin.current_user.me().user_name, None)
    admin.cluster_policies.edit(policy_id, name="Smaller", definition="{}")
    shown = admin.cluster_policies.get(policy_id)
    assert (shown.name, shown.definition, shown.description, shown.libraries) == ("Smaller", "{}", None, [])
    admin.cluster_policies.delete(policy_id)
    with pytest.raises(NotFound, match=f"Can't find a cluster policy with id: {policy_id}"):
        admin.cluster_policies.get(policy_id)


def test_every_workspace_has_five_default_policies(admin, person):
    found = {one.name: one for one in admin.cluster_policies.list()}
    assert {name: one.policy_family_id for name, one in found.items()} == {
        "Personal Compute": "personal-vm",
        "Shared Compute": "shared-compute",
        "Power User Compute": "power-user",
        "Legacy Shared Compute": "shared-data-science",
        "Job Compute": "job-cluster",
    }
    assert all(one.is_default for one in found.values())
    assert [one.name for one in person("ann@x.org").cluster_policies.list()] == ["Personal Compute"]
    assert [one.policy_family_id for one in admin.policy_families.list(max_results=2)] == [
        one.policy_family_id for one in admin.policy_families.list()
    ]
    family = admin.policy_families.get("personal-vm")
    assert family.definition == found["Personal Compute"].definition
    with pytest.raises(NotFound, match="Can't find a policy family"):
        admin.policy_families.get("nothing")


def test_a_default_policy_can_be_changed_but_not_removed(admin):
    personal = next(one for one in admin.cluster_policies.list() if one.policy_family_id == "personal-vm")
    with pytest.raises(InvalidParameterValue, match="default policy, which cannot be deleted"):
        admin.cluster_policies.delete(personal.policy_id)
    with pytest.raises(InvalidParameterValue, match="family of a default policy cannot be changed"):
        admin.cluster_policies.edit(personal.policy_id, name="x", policy_family_id="power-user")
    overrides = json.dumps({"autotermination_minutes": fixed(60)})
    sent = {"policy_family_id": "personal-vm", "policy_family_definition_overrides": overrides}
    admin.cluster_policies.edit(personal.policy_id, name="Personal Compute", **sent)
    shown = admin.cluster_policies.get(personal.policy_id)
    rules = json.loads(shown.definition)
    assert (rules["autotermination_minutes"], rules["num_workers"]["value"], shown.is_default) == (fixed(60), 0, True)
    assert shown.policy_family_definition_overrides == overrides
    assert len([one for one in admin.cluster_policies.list() if one.name == "Personal Compute"]) == 1


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"name": "", "definition": "{}"}, "name: 0 characters"),
        ({"name": "x" * 101, "definition": "{}"}, "name: 101 characters"),
        ({"name": "p"}, "Missing required field 'definition'"),
        ({"name": "p", "definition": "{}", "policy_family_id": "personal-vm"}, "does not go with policy_family_id"),
        ({"name": "p", "definition": "{}", "policy_family_definition_overrides": "{}"}, "goes with policy_family_id only"),
        ({"name": "p", "policy_family_id": "mine"}, "policy_family_id: 'mine'.*personal-vm"),
        ({"name": "p", "definition": '{"nodes": {"type": "fixed", "value": 1}}'}, "definition: nodes: unknown attribute"),
        (
            {"name": "p", "policy_family_id": "personal-vm", "policy_family_definition_overrides": "[]"},
            "_overrides: it must be a JSON",
        ),
        ({"name": "p", "definition": "{}", "max_clusters_per_user": 0}, "max_clusters_per_user: 0"),
        ({"name": "p", "definition": "{}", "libraries": [sdk.Library()]}, r"libraries\[0\]: no library"),
        (
            {"name": "p", "definition": "{}", "libraries": [sdk.Library(pypi=sdk.PythonPyPiLibrary("a"))] * 501},
            "501 are too many",
        ),
    ],
)
def test_refusals_name_field_and_value(admin, sent, words):
    with pytest.raises(InvalidParameterValue, match=words):
        admin.cluster_policies.create(**sent)


def test_names_are_unique_whatever_their_case(admin):
    first = policy(admin, "Mine")
    for name in ("MINE", "personal compute"):
        with pytest.raises(ResourceAlreadyExists, match="already exists"):
            admin.cluster_policies.create(name=name, definition="{}")
    admin.cluster_policies.edit(first, name="mine", definition="{}")
    listed = [one.name for one in admin.cluster_policies.list(sort_column=sdk.ListSortColumn.POLICY_NAME)]
    assert listed == sorted(listed, key=str.casefold) and "mine" in listed
    assert next(iter(admin.cluster_policies.list())).name == "mine"  # the latest


def test_only_admins_write_policies(admin, person):
    ann, policy_id = person("ann@x.org"), policy(admin)
    for call in (
        lambda: ann.cluster_policies.create(name="a", definition="{}"),
        lambda: ann.cluster_policies.edit(policy_id, name="a", definition="{}"),
        lambda: ann.cluster_policies.delete(policy_id),
        lambda: ann.cluster_policies.get(policy_id),
        lambda: give(ann, policy_id, user_name="ann@x.org"),
    ):
        with pytest.raises(PermissionDenied):
            call()


def test_who_may_create_what(admin, person, store, ready):
    ann, bob = person("ann@x.org"), person("bob@x.org", "team")
    with pytest.raises(PermissionDenied, match="You are not authorized to create clusters"):
        made(ann)
    policy_id = policy(admin, num_workers={"type": "range", "maxValue": 2})
    for client in (ann, bob):
        with pytest.raises(PermissionDenied, match=f"ann@x.org does not have Use permissions on {policy_id}|bob@x.org"):
            made(client, policy_id=policy_id)
    give(admin, policy_id, user_name="ann@x.org")
    give(admin, policy_id, group_name="team")
    for client in (ann, bob):
        cluster_id = made(client, policy_id=policy_id)
        assert client.clusters.get(cluster_id).policy_id == policy_id
    with pytest.raises(InvalidParameterValue, match='the value must be at most 2 \\(is "3"\\)'):
        made(ann, policy_id=policy_id, num_workers=3)
    # The entitlement opens everything but the policies of others.
    entitle(store, ready, "bob@x.org")
    assert made(bob)
    with pytest.raises(PermissionDenied, match="Use permissions"):
        made(bob, policy_id=policy(admin, "other"))
    with pytest.raises(NotFound, match="Can't find a cluster policy"):
        made(ann, policy_id="0123456789ABCDEF")
    assert made(admin, policy_id=policy_id) and made(admin)


def test_the_listed_filter_and_the_policys_own_permissions(admin, person):
    policy_id = policy(admin)
    ann = person("ann@x.org")
    give(admin, policy_id, user_name="ann@x.org")
    cluster_id = made(ann, policy_id=policy_id)
    by = sdk.ListClustersFilterBy(policy_id=policy_id)
    assert [one.cluster_id for one in admin.clusters.list(filter_by=by)] == [cluster_id]
    assert [one.name for one in ann.cluster_policies.list()] == ["p", "Personal Compute"]
    assert ann.cluster_policies.get(policy_id).name == "p"
    levels = admin.cluster_policies.get_permission_levels(policy_id).permission_levels
    assert [one.permission_level for one in levels] == [ClusterPolicyPermissionLevel.CAN_USE]
    admin.cluster_policies.set_permissions(policy_id, access_control_list=[])
    with pytest.raises(PermissionDenied, match="Use permissions"):
        ann.clusters.edit(cluster_id, **PLAIN, policy_id=policy_id)


def test_personal_compute_is_everybodys_unless_the_account_delegates_it(admin, person, store, ready):
    ann = person("ann@x.org")
    personal = next(iter(ann.cluster_policies.list()))
    cluster_id = ann.clusters.create(
        cluster_name="ann's", spark_version="", policy_id=personal.policy_id, apply_policy_default_values=True
    ).response.cluster_id
    shown = ann.clusters.get(cluster_id)
    assert (shown.spark_version, shown.node_type_id, shown.num_workers) == ("18.0.x-cpu-ml-scala2.13", "i3.xlarge", 0)
    assert (shown.data_security_mode, shown.single_user_name) == (sdk.DataSecurityMode.SINGLE_USER, "ann@x.org")
    assert (shown.autotermination_minutes, shown.spark_conf) == (4320, {"spark.databricks.cluster.profile": "singleNode"})
    # Without the policy's suggestions they are the caller's to say, as the author of the seed found out.
    with pytest.raises(InvalidParameterValue) as refused:
        made(ann, num_workers=0, policy_id=personal.policy_id)
    assert str(refused.value) == "Cluster validation error: Validation failed for data_security_mode, the value must be present"
    given = admin.cluster_policies.get_permissions(personal.policy_id).access_control_list
    assert {one.group_name: one.all_permissions[0].inherited for one in given} == {"users": True, "admins": True}
    with store.transaction() as tx:
        values = {"account_id": ready.home.account_id, "name": PERSONAL_COMPUTE, "value": "DELEGATE", "version": 1}
        tx.execute(insert(account_settings).values(values))
    assert [one.name for one in ann.cluster_policies.list()] == []
    with pytest.raises(PermissionDenied, match="Use permissions"):
        made(ann, num_workers=0, policy_id=personal.policy_id, data_security_mode=sdk.DataSecurityMode.SINGLE_USER)
    give(admin, personal.policy_id, user_name="ann@x.org")
    assert [one.name for one in ann.cluster_policies.list()] == ["Personal Compute"]


def test_a_user_has_as_many_as_the_policy_allows(admin, person, becomes):
    ann = person("ann@x.org")
    policy_id = policy(admin, users=["ann@x.org"], max_clusters_per_user=1)
    first = made(ann, policy_id=policy_id)
    with pytest.raises(BadRequest, match="ann@x.org has 1 active clusters of the policy 'p', whose max_clusters_per_user is 1"):
        made(ann, policy_id=policy_id)
    becomes(first, "TERMINATED")
    second = made(ann, policy_id=policy_id)
    with pytest.raises(BadRequest, match="max_clusters_per_user is 1"):
        ann.clusters.start(first)
    becomes(second, "RUNNING")
    ann.clusters.restart(second)  # does not count itself
    assert made(admin, policy_id=policy_id)  # another one's count


def test_libraries_of_a_policy_come_at_create_and_at_the_next_start(admin, becomes, store):
    six, toolz = (sdk.Library(pypi=sdk.PythonPyPiLibrary(package=name)) for name in ("six", "toolz"))
    policy_id = policy(admin, libraries=[six])
    cluster_id = made(admin, policy_id=policy_id)

    def there():
        return [one.library for one in admin.libraries.cluster_status(cluster_id)]

    assert there() == [six]
    admin.cluster_policies.edit(policy_id, name="p", definition="{}", libraries=[six, toolz])
    becomes(cluster_id, "RUNNING")
    assert there() == [six]
    admin.clusters.restart(cluster_id)
    assert there() == [six, toolz]
    with store.read() as reader:
        assert len(reader.execute(select(cluster_libraries)).all()) == 2


def test_edit_update_and_resize_ask_the_rules_too(admin, person, becomes, store, ready):
    ann = person("ann@x.org")
    limits = {"num_workers": {"type": "range", "minValue": 1, "maxValue": 3}, "custom_tags.team": fixed("a")}
    policy_id = admin.cluster_policies.create(name="p", definition=json.dumps(limits)).policy_id
    give(admin, policy_id, user_name="ann@x.org")
    cluster_id = made(ann, policy_id=policy_id)
    assert ann.clusters.get(cluster_id).custom_tags == {"team": "a"}
    becomes(cluster_id, "RUNNING")
    with pytest.raises(InvalidParameterValue, match="num_workers, the value must be at most 3"):
        ann.clusters.edit(cluster_id, **{**PLAIN, "num_workers": 4}, policy_id=policy_id)
    with pytest.raises(InvalidParameterValue, match='custom_tags, team must be a \\(is "b"\\)'):
        ann.clusters.update(cluster_id, "custom_tags", cluster=sdk.UpdateClusterResource(custom_tags={"team": "b"}))
    with pytest.raises(InvalidParameterValue, match="num_workers, the value must be at most 3"):
        ann.clusters.resize(cluster_id, num_workers=4)
    with pytest.raises(InvalidParameterValue, match="num_workers, the value must be present"):
        ann.clusters.resize(cluster_id, autoscale=sdk.AutoScale(min_workers=1, max_workers=9))
    with pytest.raises(PermissionDenied, match="not authorized to create clusters"):
        ann.clusters.edit(cluster_id, **PLAIN)  # out of the policy
    ann.clusters.resize(cluster_id, num_workers=3)
    becomes(cluster_id, "RUNNING")
    entitle(store, ready, "ann@x.org")
    ann.clusters.edit(cluster_id, **{**PLAIN, "num_workers": 9})
    assert ann.clusters.get(cluster_id).policy_id is None


def test_a_policy_that_fixes_a_pool(admin, person):
    ann = person("ann@x.org")
    pool_id = admin.instance_pools.create("pool", "i3.xlarge").instance_pool_id
    small = {"type": "allowlist", "values": ["i3.xlarge"]}
    policy_id = policy(admin, users=["ann@x.org"], instance_pool_id=fixed(pool_id), node_type_id=small)
    with pytest.raises(PermissionDenied, match=pool_id):
        ann.clusters.create(RUNTIME, num_workers=0, policy_id=policy_id)
    entry = sdk.InstancePoolAccessControlRequest(
        user_name="ann@x.org", permission_level=sdk.InstancePoolPermissionLevel.CAN_ATTACH_TO
    )
    admin.instance_pools.set_permissions(pool_id, access_control_list=[entry])
    cluster_id = ann.clusters.create(RUNTIME, num_workers=0, policy_id=policy_id).response.cluster_id
    assert ann.clusters.get(cluster_id).instance_pool_id == pool_id
    with pytest.raises(InvalidParameterValue, match=f"instance_pool_id, the value must be {pool_id}"):
        ann.clusters.create(RUNTIME, num_workers=0, policy_id=policy_id, instance_pool_id="another")


def compliance(client, cluster_id):
    found = client.policy_compliance_for_clusters.get_compliance(cluster_id)
    return found.is_compliant, found.violations


def test_a_policy_edited_under_a_running_cluster(admin, person, becomes):
    ann = person("ann@x.org")
    policy_id = policy(admin, users=["ann@x.org"])
    cluster_id = made(ann, policy_id=policy_id)
    becomes(cluster_id, "RUNNING")
    assert compliance(ann, cluster_id) == (True, None) or compliance(ann, cluster_id) == (True, {})
    rules = {"num_workers": fixed(0), "custom_tags.team": fixed("a"), "cluster_name": {"type": "unlimited", "isOptional": True}}
    admin.cluster_policies.edit(policy_id, name="p", definition=json.dumps(rules))
    assert ann.clusters.get(cluster_id).state is sdk.State.RUNNING
    broken = {
        "num_workers": 'Validation failed for num_workers, the value must be 0 (is "1")',
        "custom_tags.team": "Validation failed for custom_tags, team must be present",
    }
    assert compliance(ann, cluster_id) == (False, broken)
    listed = list(admin.policy_compliance_for_clusters.list_compliance(policy_id, page_size=1))
    assert [(one.cluster_id, one.is_compliant) for one in listed] == [(cluster_id, False)]
    api = ann.policy_compliance_for_clusters
    seen = api.enforce_compliance(cluster_id, validate_only=True)
    told = [(one.field, one.previous_value, one.new_value) for one in seen.changes]
    assert (seen.has_changes, told) == (True, [("custom_tags.team", "", "a"), ("num_workers", "1", "0")])
    assert ann.clusters.get(cluster_id).num_workers == 1
    done = api.enforce_compliance(cluster_id, enforce_mode=Mode.ENFORCE_IMMEDIATELY)
    assert done.enforce_result is Result.APPLIED
    shown = ann.clusters.get(cluster_id)
    assert (shown.num_workers, shown.custom_tags, shown.state) == (0, {"team": "a"}, sdk.State.RESTARTING)
    assert compliance(ann, cluster_id)[0]
    assert api.enforce_compliance(cluster_id).enforce_result is Result.NO_CHANGES


def test_enforcement_can_wait_for_the_end(admin, person, becomes, store):
    ann = person("ann@x.org")
    policy_id = policy(admin, users=["ann@x.org"])
    cluster_id = made(ann, policy_id=policy_id)
    becomes(cluster_id, "RUNNING")
    admin.cluster_policies.edit(policy_id, name="p", definition=json.dumps({"num_workers": fixed(0)}))
    api = admin.policy_compliance_for_clusters
    with pytest.raises(PermissionDenied, match="only admins"):
        ann.policy_compliance_for_clusters.enforce_compliance(cluster_id, enforce_mode=Mode.WAIT_FOR_TERMINATION)
    assert api.enforce_compliance(cluster_id, enforce_mode=Mode.WAIT_FOR_TERMINATION).enforce_result is Result.DEFERRED
    pending = api.get_compliance(cluster_id).pending_enforcement
    assert pending.enforcement_status is sdk.PendingEnforcementEnforcementStatus.ACTIVE
    assert [(one.field, one.new_value) for one in pending.target_changes] == [("num_workers", "0")]
    assert pending.target_spec.num_workers == 0 and pending.initiate_time is not None
    api.cancel_pending_cluster_enforcement(cluster_id)
    with pytest.raises(NotFound, match="no pending enforcement"):
        api.cancel_pending_cluster_enforcement(cluster_id)
    api.cancel_pending_cluster_enforcement(cluster_id, allow_missing=True)
    api.enforce_compliance(cluster_id, enforce_mode=Mode.WAIT_FOR_TERMINATION)
    assert ann.clusters.get(cluster_id).num_workers == 1
    ann.clusters.restart(cluster_id)
    assert ann.clusters.get(cluster_id).num_workers == 0
    assert api.get_compliance(cluster_id).pending_enforcement is None
    kinds = [event.type.value for event in admin.clusters.events(cluster_id)]
    assert kinds.count("DEFERRED_POLICY_ENFORCEMENT_SCHEDULED") == 2 and "EDITED" in kinds
    # What cannot be carried out is told, and leaves the cluster as it is.
    becomes(cluster_id, "RUNNING")
    with store.transaction() as tx:
        enforcement.schedule(tx, cluster_id, "root", [])
    admin.cluster_policies.edit(policy_id, name="p", definition=json.dumps({"cluster_type": fixed("job")}))
    with store.transaction() as tx:
        enforcement.carry_out(tx, cluster_id, lambda spark_version: True)
    status = api.get_compliance(cluster_id).pending_enforcement.enforcement_status
    assert status is sdk.PendingEnforcementEnforcementStatus.INACTIVE
    assert next(iter(admin.clusters.events(cluster_id))).type is sdk.EventType.DEFERRED_POLICY_ENFORCEMENT_FAILED


def test_clusters_of_a_deleted_policy_run_and_are_not_edited(admin, person, becomes):
    ann = person("ann@x.org")
    policy_id = policy(admin, users=["ann@x.org"])
    cluster_id = made(ann, policy_id=policy_id)
    admin.cluster_policies.delete(policy_id)
    becomes(cluster_id, "TERMINATED")
    ann.clusters.start(cluster_id)
    becomes(cluster_id, "RUNNING")
    with pytest.raises(NotFound, match="Can't find a cluster policy"):
        ann.clusters.edit(cluster_id, **PLAIN, policy_id=policy_id)
    with pytest.raises(NotFound, match="Can't find a cluster policy"):
        ann.policy_compliance_for_clusters.get_compliance(cluster_id)
