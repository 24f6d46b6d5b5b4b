"""What a Dockerfile of a user's may begin with: nothing that the engine keeps for others."""

import pytest

from boathouse.rollout import dockerfiles


@pytest.mark.parametrize("text", [
    "FROM debian:12\nRUN echo $HOME\n",
    "ARG V=1\nFROM --platform=$BUILDPLATFORM python:${V} AS one\nFROM one\nCOPY --from=one a b\n",
    "FROM localhost/boathouse/python:latest\n", "FROM scratch\nCOPY --chown=$U:$G x y\n",
    "FROM x AS one\nFROM y\nCOPY --from=0 a b\n",
    "FROM registry.example.com:5000/a/b@sha256:" + "a" * 64 + "\nRUN --mount=type=cache,target=/c pip install $A\n",
    "# from=localhost/boathouse/pulled/x\nFROM debian\n", "from debian\nRUN curl 'https://x.invalid/?from=$A'\n",
])  # fmt: skip
def test_ordinary_ones_pass(text):
    assert list(dockerfiles.violations(text)) == []


@pytest.mark.parametrize("text", [
    "FROM localhost/boathouse/pulled/r.example.com/a:x", "from LOCALHOST/boathouse/pulled/r.example.com/a:x",
    "FROM boathouse/pulled/r/a", "\ufeffFROM localhost/boathouse/pulled", "FR\\\n\n OM x\nFROM localhost/boathouse/pulled/a",
    "FROM localhost/boat\\\n# no\nhouse/pulled/a", "FROM localhost/boat\\\r\nhouse/pulled/a",
    "ARG A=localhost/boathouse/pulled/a\nFROM $A", "FROM localhost/${A}/a:1", "FROM 'localhost/boathouse/pulled/a'",
    "FROM deadbeef", "FROM sha256:" + "a" * 64, "FROM containers-storage:abc", "FROM docker-archive:/etc/x",
    "FROM x\nCOPY --from=localhost/boathouse/pulled/a / /", "FROM x\nCOPY --fr''om=localhost/boathouse/pulled/a / /",
    "FROM x\nRUN --mount=type=bind,from=localhost/boathouse/pulled/a,target=/a true", "FROM x\nRUN --mount=type=bind,$A true",
    "FROM x\nRUN --mount=type=bind,src=a\\ b,from=y true", "FROM x\nCOPY --from=$A / /", "FROM x\nCOPY --from=7 / /",
    "FROM x\nONBUILD COPY --from=localhost/boathouse/pulled/a / /", "# escape=`\nFROM localhost/boat`\nhouse/pulled/a",
])  # fmt: skip
def test_what_the_engine_keeps_for_others_is_refused(text):
    assert list(dockerfiles.violations(text))


@pytest.mark.parametrize(("text", "local"), [
    ("FROM debian:12\n", False), ("FROM localhost/boathouse/python:17.3-lts\nRUN true\n", True),
    ("FROM localhost:5000/a\n", False), ("FROM debian\nCOPY --from=localhost/mine/a:1 / /\n", True),
    ("FROM debian\n# FROM localhost/a\nRUN echo localhost/a\n", False), ("from LOCALHOST/a AS x\nFROM x\n", True),
])  # fmt: skip
def test_what_no_registry_has_is_known(text, local):
    assert dockerfiles.names_local(text) is local
