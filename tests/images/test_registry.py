"""The registry client against Debian's real registry and an honest fake: logging in, lists of platforms, what is found."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from boathouse.images import references, registry
from boathouse.images.content import Content
from boathouse.images.failures import ImageFailure, PullFailure, TooLarge, WrongPlatform
from boathouse.images.registry import ping
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import RegistrySettings, Wait
from tests.images import conftest as kit
from tests.images.conftest import PASSWORD, USER, Answer, Blobs, FakeClock, FakeRegistry, RealRegistry

LOCAL = RegistrySettings(allowed_private_hosts=("127.0.0.1",), plain_http_hosts=("127.0.0.1",), stall_seconds=5)
LOGIN = Login(USER, PASSWORD)


def resolve(text: str, login: Login | None = None, **more) -> registry.ResolvedImage:
    return registry.resolve(references.parse(text), login, more.pop("settings", LOCAL), **more)


def failure(text: str, login: Login | None = None, **more) -> ImageFailure:
    with pytest.raises(ImageFailure) as failed:
        resolve(text, login, **more)
    assert PASSWORD not in failed.value.text
    return failed.value


def test_a_real_registry_with_a_password(registry: RealRegistry) -> None:
    image = Blobs()
    registry.push("team/app", "1", image)
    found = resolve(f"{registry.host}/team/app:1", LOGIN)
    assert found.digest == kit.digest(image.manifest)
    assert found.pinned == f"{registry.host}/team/app@{found.digest}"
    assert found.platform == "linux/amd64"
    assert found.size_bytes == len(image.layer)
    assert [layer.digest for layer in found.layers] == [kit.digest(image.layer)]
    assert found.config.environment == {"PATH": "/usr/bin:/bin", "A": "1"}
    assert (found.config.user, found.config.working_dir, found.config.command) == ("nobody", "/srv", ("sleep",))
    assert found.index_digest is None
    by_digest = resolve(f"{registry.host}/team/app@{found.digest}", LOGIN)
    assert by_digest.digest == found.digest


def test_a_real_registry_refuses(registry: RealRegistry) -> None:
    registry.push("team/app", "1", Blobs())
    without = failure(f"{registry.host}/team/app:1")
    assert without.code == "DOCKER_IMAGE_PULL_FAILURE"
    assert "401" in without.text and "basic_auth" in without.fix
    wrong = failure(f"{registry.host}/team/app:1", Login(USER, "no"))
    assert "refuses the user and password" in wrong.text
    assert "team/app:2 does not exist" in failure(f"{registry.host}/team/app:2", LOGIN).text
    assert "404" in failure(f"{registry.host}/nobody/here:1", LOGIN).text


def test_a_list_of_platforms_gives_this_machines_image(registry: RealRegistry) -> None:
    ours, theirs = Blobs(), Blobs(architecture="arm64")
    registry.push("team/both", "ours", ours)
    registry.push("team/both", "theirs", theirs)
    index = kit.index_of(theirs, ours)
    registry.put_index("team/both", "all", index)
    found = resolve(f"{registry.host}/team/both:all", LOGIN)
    assert (found.digest, found.index_digest) == (kit.digest(ours.manifest), kit.digest(index))
    registry.put_index("team/both", "arm", kit.index_of(theirs))
    failed = failure(f"{registry.host}/team/both:arm", LOGIN)
    assert isinstance(failed, WrongPlatform) and failed.code == "DOCKER_INVALID_OS_EXCEPTION"
    assert "it has: linux/arm64" in failed.text and "--platform linux/amd64" in failed.fix


def test_platform_of_the_configuration_and_size(registry: RealRegistry) -> None:
    registry.push("team/windows", "1", Blobs(os="windows"))
    assert "windows/amd64" in failure(f"{registry.host}/team/windows:1", LOGIN).text
    registry.push("team/app", "1", Blobs())
    large = failure(f"{registry.host}/team/app:1", LOGIN, max_bytes=10)
    assert isinstance(large, TooLarge) and large.code == "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION"


def test_an_open_registry_sees_no_credentials(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    assert resolve(f"{fake.host}/team/app:1", LOGIN).platform == "linux/amd64"
    assert not any("authorization" in headers for _, headers in fake.seen)


def test_ping_tells_what_doctor_needs(fake: FakeRegistry, registry: RealRegistry) -> None:
    fake.serve(Blobs())
    assert ping(fake.host, LOCAL) == "open"
    assert ping(registry.host, LOCAL) == "login"
    fake.answers["/v2/"] = Answer(404)
    with pytest.raises(PullFailure, match="is no registry"):
        ping(fake.host, LOCAL)


def guarded(answer: Answer, challenge: str, token: str) -> Callable[[dict[str, str]], Answer]:
    def respond(headers: dict[str, str]) -> Answer:
        if headers.get("authorization") == f"Bearer {token}":
            return answer
        return Answer(401, headers={"WWW-Authenticate": challenge})

    return respond


def with_tokens(fake: FakeRegistry, realm: str, key: str = "token") -> None:
    """Guard everything of the fake by a token that `/token` gives to USER."""
    challenge = f'Bearer realm="{realm}",service="the service",scope="repository:team/app:pull,push"'
    fake.answers |= {path: guarded(answer, challenge, "t0ken") for path, answer in fake.answers.items()}

    def give(headers: dict[str, str]) -> Answer:
        if headers.get("authorization") != LOGIN.header:
            return Answer(401)
        return Answer(body=json.dumps({key: "t0ken", "expires_in": 60}).encode())

    fake.answers["/token"] = give


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_tokens_are_fetched_at_the_registrys_own_realm(fake: FakeRegistry, key: str) -> None:
    fake.serve(Blobs())
    with_tokens(fake, f"http://{fake.host}/token", key)
    assert resolve(f"{fake.host}/team/app:1", LOGIN).platform == "linux/amd64"
    asked = next(path for path, _ in fake.seen if path.startswith("/token"))
    assert parse_qs(asked.partition("?")[2]) == {
        "service": ["the service"],
        "scope": ["repository:team/app:pull"],
        "account": [USER],
    }
    assert all(headers["authorization"] == "Bearer t0ken" for headers in fake.asked("/v2/team/app/manifests/1"))
    assert "401" in failure(f"{fake.host}/team/app:1", Login(USER, "wrong")).text


def test_a_token_realm_on_another_host_must_be_named_by_settings(fake: FakeRegistry, other: FakeRegistry) -> None:
    fake.serve(Blobs())
    with_tokens(fake, f"http://{other.host}/token")
    other.answers["/token"] = fake.answers["/token"]
    failed = failure(f"{fake.host}/team/app:1", LOGIN)
    assert "nothing was sent" in failed.text and "token_realms" in failed.fix
    assert other.seen == []
    named = RegistrySettings(("127.0.0.1",), ("127.0.0.1",), {fake.host: (other.host,)})
    assert resolve(f"{fake.host}/team/app:1", LOGIN, settings=named).platform == "linux/amd64"


def test_too_often_is_waited_for_three_times(fake: FakeRegistry, clock: FakeClock) -> None:
    fake.serve(Blobs())
    path = "/v2/team/app/manifests/1"
    honest = fake.answers[path]
    answers = [Answer(429, headers={"Retry-After": "7"}), Answer(503, headers={"Retry-After": "60"}), honest]
    fake.answers[path] = lambda _headers: answers.pop(0)
    assert resolve(f"{fake.host}/team/app:1", clock=clock).platform == "linux/amd64"
    assert clock.slept == [7, 60]
    fake.answers[path] = Answer(429, headers={"Retry-After": "2"})
    clock.slept.clear()
    failed = failure(f"{fake.host}/team/app:1", clock=clock)
    assert clock.slept == [2, 2, 2]
    assert "429 Too Many Requests, Retry-After: 2" in failed.text


def test_too_often_without_saying_how_long_is_waited_for_too(fake: FakeRegistry, clock: FakeClock) -> None:
    fake.serve(Blobs())
    fake.answers["/v2/team/app/manifests/1"] = Answer(429)
    waits: list[Wait | None] = []
    assert "429" in failure(f"{fake.host}/team/app:1", clock=clock, told=waits.append).text
    assert clock.slept == [5, 15, 40]
    assert [wait and wait.seconds for wait in waits] == [5, None, 15, None, 40, None]
    assert waits[0] == Wait(fake.host, 429, 5)


def test_a_moment_as_docker_hub_gives_it(fake: FakeRegistry, clock: FakeClock) -> None:
    fake.serve(Blobs())
    path = "/v2/team/app/manifests/1"
    answers = [Answer(429, headers={"Retry-After": f"{clock.time + 33:.0f}"}), fake.answers[path]]
    fake.answers[path] = lambda _headers: answers.pop(0)
    resolve(f"{fake.host}/team/app:1", clock=clock)
    assert clock.slept == [33]


def test_a_manifest_that_is_kept_is_not_asked_for_again(fake: FakeRegistry, tmp_path) -> None:
    """But for the one that says what the tag means, and who may have it."""
    ours = Blobs()
    fake.serve(ours)
    index = kit.index_of(Blobs(architecture="arm64"), ours)
    fake.answers["/v2/team/app/manifests/1"] = Answer(body=index)
    content = Content(tmp_path, 10**6)
    for _ in range(2):
        assert resolve(f"{fake.host}/team/app:1", content=content).index_digest == kit.digest(index)
    assert len(fake.asked("/v2/team/app/manifests/1")) == 2
    assert len(fake.asked(f"/v2/team/app/manifests/{kit.digest(ours.manifest)}")) == 1
    assert len(fake.asked(f"/v2/team/app/blobs/{kit.digest(ours.config)}")) == 1
    pinned = f"{fake.host}/team/app@{kit.digest(ours.manifest)}"
    resolve(pinned, content=content)
    assert len(fake.asked(f"/v2/team/app/manifests/{kit.digest(ours.manifest)}")) == 2  # a right is asked for each time
    fake.answers[f"/v2/team/app/manifests/{kit.digest(ours.manifest)}"] = Answer(403)
    assert "403" in failure(pinned, content=content).text


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("path", "what"),
    [("manifests/1", "manifest"), (f"blobs/{kit.digest(Blobs().config)}", "configuration")],
    ids=["manifest", "blob"],
)
def test_a_registry_in_trouble_is_named_and_asked_once(
    fake: FakeRegistry, clock: FakeClock, path: str, what: str, status: int
) -> None:
    fake.serve(Blobs())
    fake.answers[f"/v2/team/app/{path}"] = Answer(status, body=b"<html>Bad Gateway</html>")
    failed = failure(f"{fake.host}/team/app:1", clock=clock)
    assert failed.text.startswith(f"{fake.host} is in trouble: it answers {status} for the {what}.")
    assert failed.code == "DOCKER_IMAGE_PULL_FAILURE" and "Try again later" in failed.fix and "html" not in failed.text
    assert len(fake.asked(f"/v2/team/app/{path}")) == 1 and clock.slept == []


@pytest.mark.parametrize("after", ["61", "99999999999", "Wed, 21 Oct 2065 07:28:00 GMT", "soon", "", "-5"])
def test_what_cannot_be_waited_for_fails_at_once(fake: FakeRegistry, clock: FakeClock, after: str) -> None:
    fake.serve(Blobs())
    fake.answers["/v2/team/app/manifests/1"] = Answer(429, headers={"Retry-After": after})
    assert "429" in failure(f"{fake.host}/team/app:1", clock=clock).text
    assert clock.slept == []


def test_a_date_is_waited_for(fake: FakeRegistry, clock: FakeClock) -> None:
    fake.serve(Blobs())
    path = "/v2/team/app/manifests/1"
    answers = [Answer(429, headers={"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}), fake.answers[path]]
    fake.answers[path] = lambda _headers: answers.pop(0)
    resolve(f"{fake.host}/team/app:1", clock=clock)
    assert clock.slept == [30]
