"""What settings say about registries, and what is refused by name."""

from types import SimpleNamespace
from typing import Any

import pytest

from boathouse.compute.secrets_step import Values
from boathouse.dataplane.contract import NodeFailure
from boathouse.server import registries
from boathouse.settings import SettingError, load
from boathouse.wire.compute import AwsAttributes, ClusterSpec, DockerImage

ARN = "arn:aws:iam::123456789012:instance-profile/pulls=odd"


def settings(tmp_path, **values):
    environ = {f"BOATHOUSE_{name.upper()}": value for name, value in values.items()}
    return load({"data": str(tmp_path), "cache": str(tmp_path / "cache")}, environ)


def test_mirrors_and_stand_ins(tmp_path):
    found = registries.registry_settings(
        settings(
            tmp_path, registry_mirrors="docker.io=mirror.corp:5000/hub/,index.docker.io=second.corp",
            registry_endpoints="docker.io=10.0.0.7:5000,registry.corp=10.0.0.8", registry_wait_seconds="7",
        )
    )  # fmt: skip
    assert found.mirrors == {"docker.io": "second.corp"}  # one name of Docker Hub; the last word counts
    assert found.at("registry-1.docker.io") == "10.0.0.7:5000" and found.at("registry.corp") == "10.0.0.8"
    assert found.at("other.corp") == "other.corp"
    assert set(found.private_hosts) == {"second.corp", "10.0.0.7:5000", "10.0.0.8"}
    assert found.longest_retry_after == 7


def test_a_proxy_by_setting_and_by_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://of-the-environment:1")
    monkeypatch.setenv("NO_PROXY", "a.example")
    by_environment = registries.registry_settings(settings(tmp_path)).proxies
    assert by_environment.chosen("https", "b.example", 443) == "http://of-the-environment:1"
    by_setting = registries.registry_settings(settings(tmp_path, registry_proxy="p:3128", registry_no_proxy="b.example")).proxies
    assert by_setting.chosen("https", "a.example", 443) == "http://p:3128" == by_setting.chosen("http", "a.example", 80)
    assert by_setting.chosen("https", "b.example", 443) == ""


def test_azure_is_asked_where_the_operator_says(tmp_path):
    found = registries.registry_settings(settings(tmp_path, azure_tenant="t", azure_login_endpoint="http://127.0.0.1:8000/"))
    assert found.azure is not None and found.azure.tenant == "t"
    assert found.plain_hosts == ("127.0.0.1:8000",) == found.private_hosts
    assert registries.registry_settings(settings(tmp_path)).azure is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"registry_mirrors": "docker.io"}, "registry_mirrors: 'docker.io' is not of the form"),
        ({"registry_mirrors": "docker.io=https://mirror.corp"}, "registry_mirrors.*https://"),
        ({"registry_mirrors": "docker.io=mirror"}, "registry_mirrors: 'docker.io=mirror' is not REGISTRY=HOST"),
        ({"registry_endpoints": "docker.io=mirror.corp/path"}, "registry_endpoints: .* is not REGISTRY=HOST\\[:PORT\\]$"),
        ({"registry_proxy": "socks5://p:1"}, "registry_proxy names no proxy"),
        ({"registry_proxy": "http://robot:hunter2@p:1"}, "use HTTPS_PROXY"),
        ({"instance_profile_credentials": "pulls=scope"}, "'pulls' is not the ARN of an instance profile"),
        ({"instance_profile_credentials": f"{ARN}=machine@prod"}, "'machine@prod' of .* must name workspaces by id"),
        ({"instance_profile_credentials": f"{ARN}=machine@"}, "must name workspaces by id"),
        ({"instance_profile_credentials": f"{ARN}=machine@1+"}, "must name workspaces by id"),
        ({"image_pulls": "sometimes"}, "image_pulls: 'sometimes'.*through, direct"),
    ],
)
def test_what_is_refused(tmp_path, values, words):
    with pytest.raises(SettingError, match=words) as refused:
        made = settings(tmp_path, **values)
        registries.registry_settings(made)
        registries.keys(made, None)
    assert "hunter2" not in str(refused.value)


def test_the_name_of_a_profile_may_have_an_equals_sign(tmp_path):
    assert registries.keys(settings(tmp_path, instance_profile_credentials=f"{ARN}=machine"), None)._profiles == {ARN: "machine"}


@pytest.mark.parametrize(
    ("named", "opened"),
    [("machine", {1, 2, 12, 3}), ("machine@1", {1}), ("machine@12+3", {12, 3})],
)
def test_the_machines_own_credentials_may_be_for_named_workspaces(tmp_path, named, opened):
    """An admin of any workspace can register an ARN: the setting says in which ones the machine stands for it."""
    given: Any = registries.keys(settings(tmp_path, instance_profile_credentials=f"{ARN}={named}"), None)
    asked = []
    given._tokens = SimpleNamespace(identify=lambda secret: asked.append(secret), get=lambda place, secret, renew: secret)
    image = DockerImage(url="123456789012.dkr.ecr.us-east-1.amazonaws.com/team/image:1")
    spec = ClusterSpec(docker_image=image, aws_attributes=AwsAttributes(instance_profile_arn=ARN))
    for workspace in (1, 2, 12, 3):
        wish = SimpleNamespace(spec=spec, values=Values(), workspace_id=workspace, editor="ann")
        asked.clear()
        given.prove(ARN, workspace, "ann")
        assert bool(asked) is (workspace in opened)
        if workspace in opened:
            assert given.of(wish).name == f"{ARN} {workspace} ann"
        else:
            with pytest.raises(NodeFailure, match="No credentials stand for the instance profile .* in this workspace"):
                given.of(wish)


def test_engines_that_pull_directly_cannot_have_our_mirrors(tmp_path):
    direct = settings(tmp_path, image_pulls="direct", registry_mirrors="docker.io=mirror.corp")
    with pytest.raises(SettingError, match="registry_mirrors: needs image_pulls 'through'"):
        registries.pull_through(direct, registries.access(direct))
    alone = settings(tmp_path, image_pulls="direct")
    assert registries.pull_through(alone, registries.access(alone)) is None
    through = settings(tmp_path)
    made = registries.pull_through(through, registries.access(through))
    assert made is not None
    made.close()
