from ipaddress import IPv4Address
from pathlib import Path

import pytest

from boathouse.dataplane.engine import strays

LISTING = (
    '[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1"}]},'
    '{"ifname":"eth0","addr_info":[{"family":"inet","local":"10.213.0.2"},{"family":"inet6","local":"fe80::1"}]},{}]'
)


def test_the_addresses_in_a_namespace() -> None:
    assert strays.addresses(LISTING) == [IPv4Address("127.0.0.1"), IPv4Address("10.213.0.2")]
    assert strays.addresses("") == []


def test_only_the_namespace_with_the_nodes_address_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("netns-a", "netns-b", "somebody-elses"):
        (tmp_path / name).touch()
    asked: list[tuple[str, ...]] = []

    def ip(*arguments: str) -> str:
        asked.append(arguments)
        return LISTING if arguments[:2] == ("-n", "netns-b") else ""

    monkeypatch.setattr(strays, "NAMESPACES", tmp_path)
    monkeypatch.setattr(strays, "_ip", ip)
    assert strays.remove_namespaces(IPv4Address("10.213.0.3")) == []
    assert strays.remove_namespaces(IPv4Address("10.213.0.2")) == ["netns-b"]
    assert ("netns", "delete", "netns-b") in asked
    assert not any("somebody-elses" in arguments for arguments in asked)


def test_a_bridge_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "INTERFACES", tmp_path)
    assert strays.ports("bhnone") == 0 and strays.remove_bridge("bhnone") is False


def test_a_namespace_is_abandoned_when_it_is_old_and_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_a_name, empty, used, in_use = "netns-1", "netns-2", "netns-3", "netns-4"
    for name in (only_a_name, empty, used, in_use):
        (tmp_path / name).touch()
    asked: list[tuple[str, ...]] = []

    def ip(*arguments: str) -> str:
        asked.append(arguments)
        if arguments[0] == "-n":
            more = ', {"ifname": "eth0"}' if arguments[1] == used else ""
            return f'[{{"ifname": "lo"}}{more}]'
        return "4711\n" if arguments == ("netns", "pids", in_use) else ""

    monkeypatch.setattr(strays, "NAMESPACES", tmp_path)
    monkeypatch.setattr(strays, "_ip", ip)
    monkeypatch.setattr(strays.os.path, "ismount", lambda path: Path(path).name != only_a_name)
    made = (tmp_path / empty).stat().st_ctime
    assert strays.remove_abandoned(lambda: made + 1) == [] and asked == []
    assert strays.remove_abandoned(lambda: made + 100) == [only_a_name, empty]
