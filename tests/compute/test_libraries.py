"""Libraries in words: what may be asked for, what a message says, how the driver is asked, and what the plan makes of a look."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute.libraries import rules
from boathouse.compute.libraries.installer import ivy, telling
from boathouse.compute.libraries.plan import LIMIT_MS, AddJar, Install, Look, Node, Process, Push, Stop, Wish, plan
from boathouse.wire.libraries import Library

PYPI, WHEEL, JAR = {"pypi": {"package": "six"}}, {"whl": "dbfs:/a-1-py3-none-any.whl"}, {"jar": "dbfs:/b.jar"}


def said(document: dict) -> list[str]:
    return list(rules.violations(msgspec.convert(document, Library), "libraries[0]"))


@pytest.mark.parametrize(
    "library",
    [
        {"pypi": {"package": "simplejson==3.8.0"}},
        {"pypi": {"package": "pandas[excel]>=2,<3", "repo": "https://user:word@pypi.example.com/simple"}},
        {"whl": "/Volumes/c/s/v/a-1.0-py3-none-any.whl"},
        {"whl": "/Workspace/Users/ann@x.org/a-1.0-py3-none-any.whl"},
        {"jar": "s3://bucket/a.jar"},
        {"jar": "abfss://container@account.dfs.core.windows.net/a.jar"},
        {"requirements": "/Workspace/Shared/requirements.txt"},
        {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2", "exclusions": ["slf4j:slf4j", "*:hadoop-client"]}},
        {"maven": {"coordinates": "a.b:c_2.13:1.0+2", "repo": "file:///opt/repository"}},
        {"cran": {"package": "forecast", "repo": "https://cran.example.com"}},
    ],
)
def test_every_kind_is_allowed(library):
    assert said(library) == []


@pytest.mark.parametrize(
    "library, words",
    [
        ({}, ["libraries[0]: no library is given", "exactly one of jar, whl"]),
        ({"jar": "dbfs:/a.jar", "whl": "dbfs:/a.whl"}, ["jar, whl are given"]),
        ({"egg": "dbfs:/a.egg"}, ["libraries[0].egg", "not supported in Databricks Runtime 14.0 and above", "wheel"]),
        ({"whl": "dbfs:/a.zip"}, ["libraries[0].whl", "'dbfs:/a.zip'", ".whl"]),
        ({"jar": "/etc/a.jar"}, ["libraries[0].jar", "begins with one of /Workspace/"]),
        ({"requirements": "dbfs:/a.toml"}, ["libraries[0].requirements", ".txt"]),
        ({"pypi": {"package": "--index-url=http://evil"}}, ["libraries[0].pypi.package"]),
        ({"pypi": {"package": " "}}, ["libraries[0].pypi.package"]),
        ({"pypi": {"package": "a", "repo": "ftp://x"}}, ["libraries[0].pypi.repo", "https://"]),
        ({"maven": {"coordinates": "org.jsoup:jsoup"}}, ["libraries[0].maven.coordinates", "group:artifact:version"]),
        ({"maven": {"coordinates": "a:b:c'; DROP"}}, ["libraries[0].maven.coordinates"]),
        ({"maven": {"coordinates": "a:b:1", "exclusions": ["c"]}}, ["libraries[0].maven.exclusions[0]", "group:artifact"]),
        ({"maven": {"coordinates": "a:b:1", "repo": "https://x/'; --"}}, ["libraries[0].maven.repo"]),
        ({"cran": {"package": "a'b"}}, ["libraries[0].cran.package"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(library, words):
    (sentence,) = said(library)
    for word in words:
        assert word in sentence


def test_the_same_library_has_the_same_key():
    first = {"maven": {"coordinates": "a:b:1", "repo": "https://r"}}
    assert rules.key(first) == rules.key({"maven": {"repo": "https://r", "coordinates": "a:b:1"}})
    assert rules.key(first) != rules.key({"maven": {"coordinates": "a:b:1"}})


@pytest.mark.parametrize(
    "maven, default, wanted",
    [
        ({"coordinates": "a:b:1"}, "", "ivy://a:b:1?transitive=true"),
        ({"coordinates": "a:b:1"}, "https://r/m2", "ivy://a:b:1?transitive=true&repos=https://r/m2"),
        (
            {"coordinates": "a:b:1", "exclusions": ["c:d", "*:e"], "repo": "file:///m2"}, "https://r/m2",
            "ivy://a:b:1?transitive=true&exclude=c:d,*:e&repos=file:///m2",
        ),
    ],
)  # fmt: skip
def test_how_spark_is_asked_for_coordinates(maven, default, wanted):
    assert ivy(maven, default) == wanted


def test_pips_errors_are_what_is_told():
    errors = "ERROR: Could not find a version (from versions: none)\nERROR: No matching distribution"
    assert telling(f"Looking in indexes: x\nWARNING: y\n{errors}\n") == errors
    assert telling("\n".join(f"line {number}" for number in range(50))).splitlines()[-1] == "line 49"
    assert telling("") == "" and len(telling("ERROR " + "x" * 9000)) == 2000


def look(*wishes, processes=(), now=1000, statements=None, workers=0, up=True):
    nodes = tuple(Node(f"n{i}", i, up, True, dict(processes) if i == 0 else {}) for i in range(workers + 1))
    return Look(now, "c", tuple(wishes), nodes, "python3", "", "2.13", statements or {})


def wish(library, **more):
    return Wish(1, 1, library, **more)


BEGUN = {"n0": {"since": 900}}


@pytest.mark.parametrize(
    "seen, action, status",
    [
        (look(wish(PYPI)), Install("n0", 1), "INSTALLING"),
        (look(wish(WHEEL)), Push("n0", 1), "RESOLVING"),
        (look(wish(WHEEL), processes={"library-file-1-1": Process(True)}.items()), Push("n0", 1), "RESOLVING"),
        (look(wish(WHEEL), processes={"library-file-1-1": Process(False, True)}.items()), Install("n0", 1), "INSTALLING"),
        (look(wish(JAR), processes={"library-file-1-1": Process(False, True)}.items()), AddJar("n0", 1), "INSTALLING"),
        (look(wish(PYPI, nodes=BEGUN), processes={"library-1-1": Process(True)}.items()), None, "INSTALLING"),
        (look(wish(PYPI, nodes=BEGUN), processes={"library-1-1": Process(False, True)}.items()), None, "INSTALLED"),
        (look(wish(PYPI, nodes=BEGUN), processes={"library-1-1": Process(False, False, "no")}.items()), None, "FAILED"),
        (look(wish(JAR, nodes=BEGUN), processes={"library-file-1-1": Process(False, False)}.items()), None, "FAILED"),
        (look(wish(PYPI, nodes=BEGUN), now=901 + LIMIT_MS), Stop("n0", 1), "FAILED"),
        (look(wish(PYPI), up=False), None, None),
        (look(wish({"maven": {"coordinates": "a:b_2.12:1"}})), None, "SKIPPED"),
    ],
)
def test_the_next_step(seen, action, status):
    step = plan(seen)
    assert step.actions == ((action,) if action else ())
    assert [change.status for change in step.changes] == ([status] if status else [])


def test_an_image_without_python_says_so():
    seen = Look(1, "c", (wish(PYPI),), (Node("n0", 0, True, True),), "", "it has no interpreter", "2.13")
    (change,) = plan(seen).changes
    assert change.status == "FAILED" and "it has no interpreter" in change.messages[0]


OUTSIDE = {"pypi": {"package": "six", "repo": "https://ann:word@pypi.example.com/simple"}}


@pytest.mark.parametrize(
    "library, reachable",
    [
        (PYPI, True),
        ({"pypi": {"package": "six", "repo": "file:///opt/index"}}, True),
        (OUTSIDE, False),
        ({"maven": {"coordinates": "a:b:1", "repo": "http://m2.example.com"}}, False),
        ({"cran": {"package": "forecast", "repo": "https://cran.example.com"}}, False),
        (WHEEL, True),
        (JAR, True),
    ],
)
def test_what_nodes_without_a_way_out_cannot_reach(library, reachable):
    (kind,) = library
    reason = rules.out_of_reach(library)
    assert (reason == "") == reachable
    assert reachable or (reason.startswith(f"{kind}.repo: 'http") and "no way out" in reason and "word" not in reason)


def test_without_a_way_out_a_repository_outside_is_not_waited_for_and_other_failures_say_so():
    (change,) = plan(msgspec.structs.replace(look(wish(OUTSIDE)), egress=False)).changes
    assert change.status == "FAILED" and "'https://****@pypi.example.com/simple' cannot be reached" in change.messages[0]
    assert plan(msgspec.structs.replace(look(wish(PYPI)), egress=False)).actions == (Install("n0", 1),)
    failed = look(wish(PYPI, nodes=BEGUN), processes={"library-1-1": Process(False, False, "no matching")}.items())
    for egress in (True, False):
        (change,) = plan(msgspec.structs.replace(failed, egress=egress)).changes
        assert "no matching" in change.messages[0] and ("no way out" in change.messages[0]) != egress


@given(st.lists(st.sampled_from([PYPI, WHEEL, JAR, {"maven": {"coordinates": "a:b:1"}}]), max_size=6), st.integers(0, 3))
def test_a_world_that_does_what_it_is_told_ends_with_everything_installed(documents, workers):
    wishes = [Wish(number, 1, library) for number, library in enumerate(documents, 1)]
    done: dict[str, set[str]] = {f"n{i}": set() for i in range(workers + 1)}
    for _ in range(60):
        nodes = tuple(Node(n, i, True, True, {name: Process(False, True) for name in done[n]}) for i, n in enumerate(done))
        seen = Look(1, "c", tuple(wishes), nodes, "p", "", "2.13", {name: Process(False, True) for name in done["n0"]})
        step = plan(seen)
        by_node = [action.node_id for action in step.actions]
        assert len(by_node) == len(set(by_node)), "one thing at a time on a node"
        changed = {change.wish.number: change for change in step.changes}
        wishes = [
            Wish(w.number, 1, w.library, changed[w.number].status, tuple(changed[w.number].messages), changed[w.number].nodes)
            if w.number in changed
            else w
            for w in wishes
        ]
        for action in step.actions:
            one = next(w for w in wishes if w.number == action.number)
            done[action.node_id].add(one.file_name if isinstance(action, Push) else one.name)
    assert all(w.status == "INSTALLED" for w in wishes)
    assert plan(seen).again is None
