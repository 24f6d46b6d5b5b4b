"""Where a request comes from: forwarded addresses count only as far as named proxies wrote them."""

import pytest

from boathouse.edge.sources import Sources, address_of


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "source"),
    [
        ((), "203.0.113.9", None, "203.0.113.9"),
        ((), "203.0.113.9", "10.0.0.1", "203.0.113.9"),  # anybody can write that
        (("10.0.0.0/8",), "203.0.113.9", "1.1.1.1", "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1", "1.1.1.1"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),  # the first entry is the caller's own invention
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        (("10.0.0.0/8",), "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, nonsense", "10.0.0.1"),
        (("::1",), "::1", "[2001:db8::1]:443", "2001:db8::1"),
        (("127.0.0.1",), "::ffff:127.0.0.1", "1.1.1.1:5000", "1.1.1.1"),
    ],
)
def test_the_callers_address(proxies, peer, forwarded, source):
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert Sources(proxies).of({"client": (peer, 1)}, headers) == source


def test_a_socket_without_addresses():
    assert Sources(["10.0.0.0/8"]).of({"client": None}, {"x-forwarded-for": "1.1.1.1"}) == ""


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1.2.3.4.5", "[::1", "::g"])
def test_what_is_no_address(text):
    assert address_of(text) is None or text == "[::1"


def test_a_proxy_that_is_none():
    with pytest.raises(ValueError):
        Sources(["proxy.example.org"])
