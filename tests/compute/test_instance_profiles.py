"""Instance profiles by the unmodified SDK, who may name which, and what stands for them."""

import dataclasses
import inspect

import msgspec
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied, ResourceAlreadyExists
from databricks.sdk.service import compute as sdk

from boathouse.compute.registry_keys import RegistryKeys
from boathouse.dataplane.contract import NodeFailure, Renewable
from boathouse.identity import registry
from boathouse.images.registry_ecr import Tokens
from boathouse.wire import instance_profiles as wire
from boathouse.wire.compute import AwsAttributes, ClusterSpec, DockerBasicAuth, DockerImage
from boathouse.workspace.references import Secrets
from boathouse.workspace.sealing import Sealer
from tests.compute.conftest import API, let_users_create

MODULE = "boathouse.compute.instance_profiles"
PULLS = "arn:aws:iam::123456789012:instance-profile/pulls"
OTHER = "arn:aws:iam::123456789012:instance-profile/other"
ROLE = "arn:aws:iam::123456789012:role/pulls"
SPEC = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 0}


@pytest.mark.parametrize("name", ["InstanceProfile", "ListInstanceProfilesResponse"])
def test_structs_have_the_sdks_fields(name):
    ours = {field.encode_name for field in msgspec.structs.fields(getattr(wire, name))}
    assert ours == {field.name for field in dataclasses.fields(getattr(sdk, name))}


@pytest.mark.parametrize(
    ("method", "name"), [("add", "AddInstanceProfile"), ("edit", "InstanceProfile"), ("remove", "RemoveInstanceProfile")]
)
def test_bodies_have_the_sdks_arguments(method, name):
    ours = {field.encode_name for field in msgspec.structs.fields(getattr(wire, name))}
    assert ours == set(inspect.signature(getattr(sdk.InstanceProfilesAPI, method)).parameters) - {"self"}


@pytest.fixture
def host(served, around):
    return served(MODULE, *API, "boathouse.auth.discovery", "boathouse.identity.me")


@pytest.fixture
def admin(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


def test_profiles_are_kept(admin):
    profiles = admin.instance_profiles
    profiles.add(PULLS, iam_role_arn=ROLE, skip_validation=True)
    profiles.add(OTHER)
    found = [(each.instance_profile_arn, each.iam_role_arn, each.is_meta_instance_profile) for each in profiles.list()]
    assert found == [(OTHER, None, False), (PULLS, ROLE, False)]
    with pytest.raises(ResourceAlreadyExists, match=PULLS):
        profiles.add(PULLS)
    profiles.edit(OTHER, iam_role_arn=ROLE)
    assert [each.iam_role_arn for each in profiles.list()] == [ROLE, ROLE]
    profiles.remove(PULLS)
    assert [each.instance_profile_arn for each in profiles.list()] == [OTHER]
    for call in (lambda: profiles.remove(PULLS), lambda: profiles.edit(PULLS)):
        with pytest.raises(NotFound, match=PULLS):
            call()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instance_profile_arn": "pulls"}, "instance_profile_arn: 'pulls' is not of the form"),
        ({"instance_profile_arn": PULLS + "\u00e4"}, "instance_profile_arn"),
        ({"iam_role_arn": PULLS}, "iam_role_arn"),
        ({"is_meta_instance_profile": True}, "is_meta_instance_profile: true"),
    ],
)
def test_what_is_refused(admin, change, words):
    with pytest.raises(InvalidParameterValue, match=words):
        admin.instance_profiles.add(**{"instance_profile_arn": PULLS, **change})


def test_who_may_name_a_profile(admin, host, store, ready, make_user):
    let_users_create(store, ready)
    ann, token = make_user("ann@x.org")
    user = WorkspaceClient(host=host, token=token)
    admin.instance_profiles.add(PULLS)
    named = {"aws_attributes": sdk.AwsAttributes(instance_profile_arn=PULLS)}
    for call in (
        lambda: user.instance_profiles.add(OTHER), lambda: user.instance_profiles.edit(PULLS),
        lambda: user.instance_profiles.remove(PULLS),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied, match="Only workspace admins"):
            call()
    assert list(user.instance_profiles.list()) == []
    with pytest.raises(InvalidParameterValue, match="is not an instance profile that you may use"):
        user.clusters.create(cluster_name="c", **SPEC, **named)
    with store.transaction() as tx:
        registry.set_workspace_roles(tx, ready.home.workspace_id, ann.principal_id, [PULLS, OTHER])
    assert [each.instance_profile_arn for each in user.instance_profiles.list()] == [PULLS]
    cluster = user.clusters.create(cluster_name="c", **SPEC, **named).response.cluster_id
    assert user.clusters.get(cluster).aws_attributes.instance_profile_arn == PULLS
    for arn in (OTHER, "x" * 300):  # the role alone does not make it one
        with pytest.raises(InvalidParameterValue, match="aws_attributes.instance_profile_arn"):
            admin.clusters.create(cluster_name="c", **SPEC, aws_attributes=sdk.AwsAttributes(instance_profile_arn=arn))
        with pytest.raises(InvalidParameterValue, match="aws_attributes.instance_profile_arn"):
            admin.instance_pools.create("p", "i3.xlarge", aws_attributes=sdk.InstancePoolAwsAttributes(instance_profile_arn=arn))
    admin.instance_pools.create("p", "i3.xlarge", aws_attributes=sdk.InstancePoolAwsAttributes(instance_profile_arn=PULLS))


# ---- what stands for a profile


class Amazon(Tokens):
    """Tokens that say whose credentials got them."""

    def _ask(self, where, secret):
        from boathouse.dataplane.contract import Credentials

        return Credentials("AWS", f"token of {(secret or {}).get('aws_access_key_id', 'the machine')}"), 9e9

    def identify(self, secret):
        from boathouse.images.failures import PullFailure

        if secret and secret["aws_access_key_id"] == "AKIAWRONG":
            raise PullFailure("Amazon does not know the credentials.")
        return "arn:aws:sts::123456789012:assumed-role/pulls/x"


@dataclasses.dataclass
class Wish:
    spec: ClusterSpec
    values: object
    workspace_id: int
    editor: str


class NoValues:
    login = False


def wish(ready, editor, url="123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1", profile: str | None = PULLS):
    spec = ClusterSpec(
        spark_version="x", docker_image=DockerImage(url, DockerBasicAuth("a", "b") if editor == "-" else None),
        aws_attributes=AwsAttributes(instance_profile_arn=profile),
    )  # fmt: skip
    return Wish(spec, NoValues(), ready.home.workspace_id, editor)


def test_a_scope_stands_for_a_profile_with_the_editors_rights(store, keys, ready, scope, make_user):
    make_user("ann@x.org")
    scope("pulls-keys", aws_access_key_id="AKIA1", aws_secret_access_key="s")
    opening = RegistryKeys(Secrets(store, Sealer(keys)), Amazon(), {PULLS: "pulls-keys", OTHER: "machine"})
    key = opening.of(wish(ready, "admin@boathouse.local"))
    assert isinstance(key, Renewable)
    assert key.get(False).password == "token of AKIA1"
    anns = opening.of(wish(ready, "ann@x.org"))
    assert isinstance(anns, Renewable)
    with pytest.raises(NodeFailure, match="does not have READ permission on scope pulls-keys") as denied:
        anns.get(False)
    assert denied.value.code == "SECRET_PERMISSION_DENIED"
    machine = opening.of(wish(ready, "ann@x.org", profile=OTHER))
    assert isinstance(machine, Renewable) and machine.get(False).password == "token of the machine"
    assert opening.of(wish(ready, "ann@x.org", url="docker.io/a/b:1")) is None
    assert opening.of(wish(ready, "ann@x.org", profile=None)) is None


def test_what_stands_for_a_profile_is_tried_when_it_is_added(served, services, store, keys, ready, scope, around):
    scope("good", aws_access_key_id="AKIA1", aws_secret_access_key="s")
    scope("wrong", aws_access_key_id="AKIAWRONG", aws_secret_access_key="s")
    services.add(RegistryKeys(Secrets(store, Sealer(keys)), Amazon(), {PULLS: "good", OTHER: "wrong"}))
    profiles = WorkspaceClient(host=served(MODULE, "boathouse.auth.discovery"), token=ready.token).instance_profiles
    profiles.add(PULLS)
    with pytest.raises(InvalidParameterValue, match="does not know the credentials.; mend that, or give skip_validation true"):
        profiles.add(OTHER)
    profiles.add(OTHER, skip_validation=True)
    assert len(list(profiles.list())) == 2
