"""The texts of the firewall; what the kernel makes of them is in tests/contract/test_isolation.py."""

import json
from ipaddress import IPv4Network

from boathouse.dataplane.engine import firewall
from boathouse.dataplane.engine.firewall import Fence

FENCE = Fence("bh0123456789abc", IPv4Network("10.213.0.32/27"), "0badcafe", "1123-120000-abcdefgh")


def test_what_leaves_a_bridge_is_judged_in_this_order() -> None:
    text = firewall.base(["eth0"])
    passing = text[text.index("chain passing {\n") :]
    order = [
        "@same accept",
        "established,related",
        "oifname @bridges",
        "iifname != @bridges",
        "169.254.0.0/16",
        "@networks",
        "eth0",
        "oifkind",
    ]
    places = [passing.index(words) for words in order]
    assert places == sorted(places)
    assert "oifname { } accept" not in firewall.base([])


def test_a_fence_names_its_owner_and_its_removal_names_what_it_added() -> None:
    text = firewall.enclose(FENCE)
    assert text.count('comment "0badcafe 1123-120000-abcdefgh"') == 3
    assert firewall.removals(FENCE.bridge) == ['delete element inet boathouse bridges { "bh0123456789abc" }']
    assert firewall.removals(str(FENCE.subnet)) == [
        "delete element inet boathouse same { 10.213.0.32/27 . 10.213.0.32/27 }",
        "delete element inet boathouse networks { 10.213.0.32/27 }",
    ]


def test_nfts_answer_is_read_with_and_without_comments() -> None:
    listing = {
        "nftables": [
            {"metainfo": {}},
            {"set": {"name": "bridges", "elem": [{"elem": {"val": "bhaaa", "comment": "i c"}}, "bhold"]}},
            {
                "set": {
                    "name": "networks",
                    "elem": [{"elem": {"val": {"prefix": {"addr": "10.213.0.0", "len": 27}}, "comment": "i c"}}],
                }
            },
            {"set": {"name": "same", "elem": ["ignored"]}},
        ]
    }
    assert firewall.elements(json.dumps(listing)) == {"bhaaa": "i c", "bhold": "", "10.213.0.0/27": "i c"}
    assert firewall.elements("") == {}
