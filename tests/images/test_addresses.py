"""Which addresses a registry may have."""

import ipaddress

import pytest

from boathouse.images.addresses import Kind, kind, named, permitted
from boathouse.images.failures import PullFailure


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", Kind.PUBLIC),
        ("2606:2800:220:1::1", Kind.PUBLIC),
        ("10.1.2.3", Kind.PRIVATE),
        ("172.16.0.1", Kind.PRIVATE),
        ("192.168.1.1", Kind.PRIVATE),
        ("100.64.0.1", Kind.PRIVATE),
        ("127.0.0.1", Kind.PRIVATE),
        ("127.8.8.8", Kind.PRIVATE),
        ("::1", Kind.PRIVATE),
        ("fd12::1", Kind.PRIVATE),
        ("::ffff:10.0.0.1", Kind.PRIVATE),
        ("::ffff:127.0.0.1", Kind.PRIVATE),
        ("169.254.169.254", Kind.NEVER),
        ("169.254.0.1", Kind.NEVER),
        ("fe80::1", Kind.NEVER),
        ("::ffff:169.254.169.254", Kind.NEVER),
        ("64:ff9b::a9fe:a9fe", Kind.NEVER),
        ("2002:a9fe:a9fe::1", Kind.NEVER),
        ("fd00:ec2::254", Kind.NEVER),
        ("168.63.129.16", Kind.NEVER),
        ("100.100.100.200", Kind.NEVER),
        ("0.0.0.0", Kind.NEVER),
        ("::", Kind.NEVER),
        ("224.0.0.1", Kind.NEVER),
        ("255.255.255.255", Kind.NEVER),
        ("240.0.0.1", Kind.NEVER),
    ],
)
def test_kind(address: str, expected: Kind) -> None:
    assert kind(ipaddress.ip_address(address)) is expected


def test_settings_name_hosts_with_or_without_port() -> None:
    assert named("Registry.local", 5000, ["registry.local"])
    assert named("registry.local", 5000, ["registry.local:5000"])
    assert not named("registry.local", 5001, ["registry.local:5000"])
    assert not named("evil.registry.local", 5000, ["registry.local"])
    assert named("::1", 5000, ["[::1]:5000"])


def test_private_only_for_named_hosts_and_link_local_never() -> None:
    assert permitted("r.example", 443, lambda *_: ["10.0.0.1"], ["r.example"]) == "10.0.0.1"
    with pytest.raises(PullFailure, match="private address") as refused:
        permitted("r.example", 443, lambda *_: ["10.0.0.1"], ["other"])
    assert "registry_private_hosts" in refused.value.fix
    with pytest.raises(PullFailure, match="never are"):
        permitted("r.example", 443, lambda *_: ["169.254.169.254"], ["r.example"])


def test_a_mixed_answer_gives_the_permitted_address() -> None:
    assert permitted("r.example", 443, lambda *_: ["169.254.169.254", "10.0.0.1", "8.8.8.8"], []) == "8.8.8.8"


def test_unknown_name() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(PullFailure, match="unknown here"):
        permitted("nowhere.example", 443, unknown, [])
