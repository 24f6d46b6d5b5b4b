from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.dataplane.engine import addresses

POOL = IPv4Network("10.213.0.0/24")
ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
bhaa\t2000D50A\t00000000\t0001\t0\t0\t0\tE0FFFFFF\t0\t0\t0
"""

subnets = st.builds(
    lambda offset, prefix: IPv4Network((int(POOL.network_address) + offset, prefix), strict=False),
    st.integers(0, 255),
    st.integers(25, 32),
)


@given(st.lists(subnets, max_size=8), st.text(min_size=1, max_size=20))
def test_a_chosen_network_is_in_the_pool_and_overlaps_with_nothing(taken: list[IPv4Network], key: str) -> None:
    try:
        chosen = addresses.choose(POOL, key, taken)
    except addresses.PoolExhausted:
        free = [one for one in POOL.subnets(new_prefix=27) if not any(one.overlaps(other) for other in taken)]
        assert not free
    else:
        assert chosen.subnet_of(POOL) and chosen.prefixlen == 27
        assert not any(chosen.overlaps(other) for other in taken)


def test_the_same_key_is_offered_the_same_place() -> None:
    assert addresses.choose(POOL, "a", []) == addresses.choose(POOL, "a", [])


def test_every_network_of_the_pool_is_given_out_before_it_is_exhausted() -> None:
    taken: list[IPv4Network] = []
    for number in range(8):
        taken.append(addresses.choose(POOL, f"cluster {number}", taken))
    assert len(set(taken)) == 8
    with pytest.raises(addresses.PoolExhausted, match="no free /27 in 10.213.0.0/24"):
        addresses.choose(POOL, "one more", taken)


def test_a_pool_that_is_too_small_or_wholly_routed_is_exhausted() -> None:
    with pytest.raises(addresses.PoolExhausted):
        addresses.choose(IPv4Network("10.213.0.0/28"), "a", [])
    with pytest.raises(addresses.PoolExhausted):
        addresses.choose(POOL, "a", [IPv4Network("10.0.0.0/8")])


def test_the_default_route_is_in_nobodys_way() -> None:
    assert addresses.choose(POOL, "a", [IPv4Network("0.0.0.0/0")]).subnet_of(POOL)


def test_places() -> None:
    network = IPv4Network("10.213.0.32/27")
    assert addresses.gateway(network) == IPv4Address("10.213.0.33")
    assert addresses.place(network, 0) == IPv4Address("10.213.0.34")
    assert addresses.place(network, addresses.NODES_PER_NETWORK - 1) == IPv4Address("10.213.0.62")
    for index in (-1, addresses.NODES_PER_NETWORK):
        with pytest.raises(addresses.PlaceMissing):
            addresses.place(network, index)


def test_the_kernels_table_of_routes() -> None:
    assert addresses.routes(ROUTES) == [IPv4Network("0.0.0.0/0"), IPv4Network("10.0.0.0/24"), IPv4Network("10.213.0.32/27")]
    assert addresses.default_interfaces(ROUTES) == ["eth0"]
    assert addresses.routes("Iface\n") == [] and addresses.default_interfaces("") == []
