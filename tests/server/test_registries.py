"""What settings say about registries, and what is refused by name."""

import pytest

from boathouse.server import registries
from boathouse.settings import SettingError, load

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
