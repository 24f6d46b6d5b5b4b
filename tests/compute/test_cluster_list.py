"""Lists: what is shown to whom, in which order, filtered, and cut into pages."""

import pytest

from tests.compute.conftest import many


def walk(cluster_api, query, way="next_page_token"):
    """The names of all pages from the first (or back from the last), page by page."""
    pages, token = [], ""
    while True:
        answer = cluster_api.list(f"{query}&page_token={token}")
        pages.append([shown["cluster_name"] for shown in answer["clusters"]])
        token = answer.get(way, "")
        if not token:
            return pages, answer


@pytest.mark.parametrize("sort", ["", "&sort_by.field=CLUSTER_NAME", "&sort_by.direction=ASC", "&sort_by.field=DEFAULT"])
def test_pages_hold_everything_once_in_order(cluster_api, store, ready, sort):
    many(store, 47, ready.home.workspace_id)
    pages, last = walk(cluster_api, f"page_size=10{sort}")
    assert [len(page) for page in pages] == [10, 10, 10, 10, 7]
    names = [name for page in pages for name in page]
    ascending = sorted(f"n{number + 1:08d}" for number in range(47))
    # Names were made to sort the other way round than start times.
    assert names == (ascending if sort != "&sort_by.direction=ASC" else ascending[::-1])
    back = []
    while token := last.get("prev_page_token"):
        last = cluster_api.list(f"page_size=10{sort}&page_token={token}")
        back.append([shown["cluster_name"] for shown in last["clusters"]])
    assert back == pages[-2::-1]


def test_pages_are_steady_while_clusters_come(cluster_api, store, ready):
    many(store, 20, ready.home.workspace_id)
    first = cluster_api.list("page_size=10")
    cluster_api.create(cluster_name="younger")
    second = cluster_api.list(f"page_size=10&page_token={first['next_page_token']}")
    names = [shown["cluster_name"] for shown in first["clusters"] + second["clusters"]]
    assert len(set(names)) == 20 and "younger" not in names


def test_the_last_page_has_no_token(cluster_api, store, ready):
    many(store, 100, ready.home.workspace_id)
    answer = cluster_api.list("")
    assert len(answer["clusters"]) == 100 and "next_page_token" not in answer and "prev_page_token" not in answer


def test_filters(cluster_api, store, ready):
    many(store, 3, ready.home.workspace_id)
    pending = cluster_api.create()
    cluster_api.call("pin", cluster_id=pending)

    def count(query):
        return len(cluster_api.list(query).get("clusters", []))

    assert count("filter_by.cluster_states=PENDING") == 1
    assert count("filter_by.cluster_states=PENDING&filter_by.cluster_states=RUNNING") == 4
    assert count("filter_by.cluster_sources=JOB") == 0
    assert count("filter_by.cluster_sources=API&filter_by.is_pinned=false") == 3
    assert count("filter_by.is_pinned=true") == 1
    assert count("filter_by.policy_id=ABC") == 0


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("page_size=101", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=x", "page_size"),
        ("page_token=nonsense", "page_token"),
        ("page_token=WyJzdGFydCBERVNDIiwibmV4dCIsMTgwMTQzOTg1MDk0ODE5ODQwMDAsIngiXQ", "page_token"),
        ("filter_by.cluster_states=ODD", "ODD"),
        ("sort_by.field=AGE", "AGE"),
    ],
)
def test_refusals(cluster_api, query, word):
    answer = cluster_api.api.get(f"/api/2.1/clusters/list?{query}")
    assert answer.status_code == 400 and word in answer.json()["message"]


def test_a_token_of_another_order(cluster_api, store, ready):
    many(store, 5, ready.home.workspace_id)
    token = cluster_api.list("page_size=2")["next_page_token"]
    answer = cluster_api.api.get(f"/api/2.1/clusters/list?sort_by.field=CLUSTER_NAME&page_token={token}")
    assert answer.status_code == 400 and "page_token" in answer.json()["message"]


def test_everybody_sees_their_own_and_admins_all(cluster_api, store, ready, make_user):
    ann, ann_token = make_user("ann@x.org")
    bob, bob_token = make_user("bob@x.org")
    made = cluster_api.as_(ann_token).create()
    many(store, 2, workspace_id=1)
    assert [shown["cluster_id"] for shown in cluster_api.as_(ann_token).list()["clusters"]] == [made]
    assert [shown["cluster_id"] for shown in cluster_api.list()["clusters"]] == [made]
    assert not cluster_api.as_(bob_token).list().get("clusters")
