"""Which proxy is taken: the rules that container engines follow too."""

import pytest

from boathouse.outbound.proxies import BadProxy, Proxies, bare, checked, of_environment

DIRECT = ("corp.example", ".inner.example", "10.0.0.0/8", "r.example:5000", "2001:db8::/32")
PROXIES = Proxies("http://p:3128", "http://q:3128", DIRECT)


@pytest.mark.parametrize(
    ("scheme", "host", "port", "proxy"),
    [
        ("https", "registry.example", 443, "http://p:3128"),
        ("http", "registry.example", 80, "http://q:3128"),
        ("https", "localhost", 5000, ""),
        ("https", "127.0.0.1", 5000, ""),
        ("https", "[::1]", 5000, ""),
        ("https", "corp.example", 443, ""),
        ("https", "a.corp.example", 443, ""),
        ("https", "acorp.example", 443, "http://p:3128"),
        ("https", "inner.example", 443, "http://p:3128"),
        ("https", "a.inner.example", 443, ""),
        ("https", "10.1.2.3", 443, ""),
        ("https", "11.1.2.3", 443, "http://p:3128"),
        ("https", "2001:db8::1", 443, ""),
        ("https", "r.example", 5000, ""),
        ("https", "r.example", 443, "http://p:3128"),
        ("https", "A.Corp.Example.", 443, ""),
    ],
)
def test_what_is_reached_by_which(scheme, host, port, proxy):
    assert PROXIES.chosen(scheme, host, port) == proxy


def test_everything_can_be_reached_directly():
    assert Proxies("http://p:1", bypass=("*",)).chosen("https", "a.example", 443) == ""


def test_the_environment_in_both_spellings():
    found = of_environment({"https_proxy": "http://robot:pa%3Ass@p:3128", "NO_PROXY": "a.example, .b.example,"})
    assert found.bypass == ("a.example", ".b.example")
    assert found.chosen("https", "c.example", 443) == "http://robot:pa%3Ass@p:3128"
    assert found.chosen("http", "c.example", 80) == ""
    assert "pa%3Ass" not in repr(found) and found.secrets == ("pa%3Ass",)
    assert bare("http://robot:x@p") == "http://p:80"
    assert of_environment({}) == Proxies()


@pytest.mark.parametrize("text", ["socks5://p:1", "http:///p", "http://p:port", "http://pä:1"])
def test_what_names_no_proxy_is_refused_without_repeating_it(text):
    with pytest.raises(BadProxy, match="HTTPS_PROXY names no proxy") as refused:
        checked(text, "HTTPS_PROXY")
    assert text not in str(refused.value)
    assert checked("p:3128", "x") == "http://p:3128"
