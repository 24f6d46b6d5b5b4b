"""Building and pushing through an engine that answers from a table."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
import requests.exceptions

from boathouse.images import references
from boathouse.images.registry_auth import Login
from boathouse.images.rootfs import BuildError
from boathouse.images.user_builds import build_image, push_image

TARGET = references.parse("127.0.0.1:5000/team/app:1")
LOGIN = Login("robot", "hunter2")


class Answer:
    def __init__(self, status: int, text: str) -> None:
        self.status_code, self.text = status, text


class FakeApi:
    base_url = "http+docker://localhost"

    def __init__(self, events: list[dict], answer: Answer | None = None, podman: bool = True) -> None:
        self.events, self.answer, self.podman = events, answer, podman
        self.calls: list[tuple[str, dict]] = []

    @property
    def api(self) -> "FakeApi":
        return self

    def version(self) -> dict:
        return {"Components": [{"Name": "Podman Engine" if self.podman else "Engine"}]}

    def build(self, **options):
        self.calls.append(("build", options))
        return iter(self.events)

    def inspect_image(self, name: str) -> dict:
        return {"Id": f"sha256:{name}"}

    def tag(self, local: str, repository: str, tag: str | None) -> bool:
        self.calls.append(("tag", {"local": local, "repository": repository, "tag": tag}))
        return True

    def remove_image(self, name: str) -> None:
        self.calls.append(("remove", {"name": name}))

    def push(self, repository: str, **options):
        self.calls.append(("push", options))
        return iter(self.events)

    def post(self, url: str, **options) -> Answer | None:
        self.calls.append((url, options))
        return self.answer


def folder(path: Path) -> Path:
    (path / "Dockerfile").write_text("FROM scratch\n")
    return path


def test_a_build_tells_its_steps_and_the_image(tmp_path: Path) -> None:
    events = [
        {"stream": "STEP 1/1: FROM scratch\n"},
        {"aux": {"ID": "sha256:abc"}},
        {"stream": "Successfully built 0123456789ab\n"},
    ]
    engine, said = FakeApi(events), []
    assert build_image(engine, folder(tmp_path), "localhost/x:1", said.append, arguments={"A": "1"}) == "sha256:0123456789ab"
    assert said == ["STEP 1/1: FROM scratch", "Successfully built 0123456789ab"]
    options = engine.calls[0][1]
    assert (options["tag"], options["buildargs"], options["network_mode"]) == ("localhost/x:1", {"A": "1"}, "host")


@pytest.mark.parametrize(("logins", "sent"), [
    (None, ["mine.example"]), ({}, []), ({"base.example": LOGIN}, ["base.example"]),
])  # fmt: skip
def test_the_engine_is_told_the_log_ins_that_are_given_and_no_others(tmp_path, monkeypatch, logins, sent) -> None:
    kept = tmp_path / "docker"
    kept.mkdir()
    (kept / "config.json").write_text(json.dumps({"auths": {"mine.example": {"auth": b64encode(b"me:mine").decode()}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(kept))
    api, posted = docker.APIClient("http://127.0.0.1:1", version="1.41"), []

    def post(_url, **options):
        posted.append(options)
        raise requests.exceptions.ConnectionError("nobody is there")

    monkeypatch.setattr(api, "_post", post)
    with pytest.raises(BuildError, match="nobody is there"):
        build_image(
            SimpleNamespace(api=api), folder(tmp_path), "x", lambda _line: None, pull=True, cache=False, logins=logins
        )  # fmt: skip
    header = posted[0]["headers"].get("X-Registry-Config")
    told = json.loads(b64decode(header)) if header else {}
    assert list(told) == sent and (header is not None) == bool(sent)
    assert posted[0]["params"]["pull"] and posted[0]["params"]["nocache"]
    assert "mine.example" in api._auth_configs.auths, "the next request of the client is as before"


def test_a_failed_build_has_its_last_words(tmp_path: Path) -> None:
    engine = FakeApi([{"stream": "STEP 2/2: RUN false\n"}, {"error": "exit status 1"}])
    with pytest.raises(BuildError, match="exit status 1") as failed:
        build_image(engine, folder(tmp_path), "x", lambda _line: None)
    assert "RUN false" in failed.value.log
    with pytest.raises(BuildError, match="without an image"):
        build_image(FakeApi([]), folder(tmp_path), "x", lambda _line: None)
    with pytest.raises(BuildError, match="has no Dockerfile"):
        build_image(engine, tmp_path / "nowhere", "x", lambda _line: None)


def test_plain_http_is_asked_of_podman_in_its_own_dialect() -> None:
    engine = FakeApi([], Answer(200, "\n"))
    push_image(engine, "localhost/x:1", TARGET, LOGIN, lambda _line: None, plain_http=True)
    url, options = engine.calls[-1]
    assert url.endswith("/libpod/images/127.0.0.1:5000/team/app:1/push")
    assert options["params"] == {"destination": "127.0.0.1:5000/team/app:1", "tlsVerify": "false"}
    assert "hunter2" not in str(options)
    docker = FakeApi([], podman=False)
    push_image(docker, "localhost/x:1", TARGET, None, lambda _line: None, plain_http=True)
    assert docker.calls[-1][0] == "push"
    push_image(docker, "localhost/x:1", TARGET, None, lambda _line: None, keep=False)
    assert docker.calls[-1] == ("remove", {"name": "127.0.0.1:5000/team/app:1"})
    refused = FakeApi([{"error": "denied"}])
    with pytest.raises(BuildError, match="denied"):
        push_image(refused, "x", TARGET, None, lambda _line: None, keep=False)
    assert refused.calls[-1][0] == "remove"


@pytest.mark.parametrize(
    "answer", [Answer(400, '{"cause": "unauthorized hunter2"}'), Answer(200, '{"error": "unauthorized hunter2"}\n')]
)
def test_a_refused_push_does_not_repeat_the_password(answer: Answer) -> None:
    with pytest.raises(BuildError, match="unauthorized") as failed:
        push_image(FakeApi([], answer), "x", TARGET, LOGIN, lambda _line: None, plain_http=True)
    assert "hunter2" not in str(failed.value)
    with pytest.raises(BuildError, match="denied"):
        push_image(FakeApi([{"error": "denied hunter2"}]), "x", TARGET, LOGIN, lambda _line: None)
