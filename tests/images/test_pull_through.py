"""What an engine gets from us in place of a registry: spoken to as an engine does, with registries that misbehave behind."""

import base64
import http.client
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from boathouse.dataplane.contract import Credentials, Key, NodeFailure, Renewable
from boathouse.images.content import Content, digest_of
from boathouse.images.pull_through import PullOffer, PullThrough
from boathouse.images.registry_access import Registries
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import RegistrySettings
from tests.images.conftest import Answer, Blobs, FakeRegistry

IMAGE = Blobs(layer=bytes(range(256)) * 4096)
LAYER = digest_of(IMAGE.layer)
PATH = f"/v2/team/app/blobs/{LAYER}"


def settings(*hosts: str, **more) -> RegistrySettings:
    return RegistrySettings(hosts, hosts, stall_seconds=2, **more)


@contextmanager
def through(folder: Path, how: RegistrySettings, limit: int = 10**9) -> Iterator[PullThrough]:
    made = PullThrough(Registries(how, Content(folder, limit)))
    try:
        yield made
    finally:
        made.close()


@contextmanager
def offered(source: PullThrough, fake: FakeRegistry, key: Key = None) -> Iterator[PullOffer]:
    with source.offer(f"{fake.host}/team/app@{digest_of(IMAGE.manifest)}", key) as offer:
        offer.prepare()
        yield offer


def ask(offer: PullOffer, path: str, password: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One GET as an engine sends it. IncompleteRead where the answer breaks off."""
    given = f"{offer.credentials.username}:{offer.credentials.password if password is None else password}"
    sent = {"Authorization": "Basic " + base64.b64encode(given.encode()).decode(), **headers}
    connection = http.client.HTTPConnection(offer.reference.partition("/")[0], timeout=20)
    try:
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def gave(offer: PullOffer, everything: int) -> bool:
    """Whether it comes to say that all was given: it is noted after the last bytes have left, when the engine may have them."""
    return any(offer.progress() == (everything, everything) or threading.Event().wait(0.01) for _ in range(500))


def test_an_engine_gets_the_exact_bytes_and_the_registry_is_asked_once(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    with through(tmp_path, settings(fake.host)) as source:
        for _ in range(2):
            with offered(source, fake) as offer:
                assert offer.reference.endswith(f"/team/app@{digest_of(IMAGE.manifest)}")
                assert ask(offer, "/v2/")[0] == 200
                status, headers, body = ask(offer, f"/v2/team/app/manifests/{offer.digest}")
                assert (status, body) == (200, IMAGE.manifest)
                assert headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
                assert ask(offer, f"/v2/team/app/blobs/{digest_of(IMAGE.config)}")[2] == IMAGE.config
                assert ask(offer, PATH)[2] == IMAGE.layer
                status, headers, body = ask(offer, PATH, Range="bytes=1000000-")
                assert (status, body) == (206, IMAGE.layer[1000000:])
                assert gave(offer, len(IMAGE.layer) + len(IMAGE.config)) and offer.failure() is None
        assert len(fake.asked(PATH)) == 1
        assert len(fake.asked(f"/v2/team/app/manifests/{digest_of(IMAGE.manifest)}")) == 1


def test_nobody_else_gets_anything(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    with through(tmp_path, settings(fake.host)) as source:
        with offered(source, fake) as offer, offered(source, fake, Credentials("robot", "x")) as other:
            for password in ("", "guess", other.credentials.password):
                status, headers, body = ask(offer, PATH, password)
                assert (status, headers["WWW-Authenticate"], body) == (401, 'Basic realm="boathouse"', b"{}")
            for path in (
                f"/v2/team/app/manifests/{LAYER}", f"/v2/team/app/blobs/{digest_of(b'of another image')}",
                "/v2/team/app/manifests/1", f"/v2/team/other/blobs/{LAYER}", "/v2/team/app/blobs/../x", "/",
            ):  # fmt: skip
                assert ask(offer, path)[0] == 404, path
        assert ask(offer, "/v2/")[0] == 401  # its time is over


def test_bytes_that_do_not_fit_the_digest_are_never_whole(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    fake.answers[PATH] = Answer(body=b"x" * len(IMAGE.layer))
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake) as offer:
        with pytest.raises(http.client.IncompleteRead):
            ask(offer, PATH)
        failed = offer.failure()
        assert failed is not None
        assert failed[0] == "DOCKER_IMAGE_PULL_FAILURE" and "does not have the digest" in failed[1] and LAYER in failed[1]
        assert ask(offer, PATH)[0] == 502  # it is not fetched again for the engine's own retries
    assert len(fake.asked(PATH)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [digest_of(IMAGE.manifest).partition(":")[2]]


@pytest.mark.parametrize(("body", "words"), [(IMAGE.layer[:-1], "has 1048575 bytes"), (IMAGE.layer + b"x", "more than")])
def test_a_registry_that_lies_about_sizes(fake: FakeRegistry, tmp_path: Path, body: bytes, words: str) -> None:
    fake.serve(IMAGE)
    fake.answers[PATH] = Answer(body=body)
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake) as offer:
        with pytest.raises(http.client.IncompleteRead):
            ask(offer, PATH)
        failed = offer.failure()
        assert failed is not None and words in failed[1]


@pytest.mark.parametrize("obeys", [True, False])
def test_a_transfer_that_breaks_is_taken_up_where_it_broke(fake: FakeRegistry, tmp_path: Path, obeys: bool) -> None:
    fake.serve(IMAGE)

    def broken(headers: dict[str, str]) -> Answer:
        asked = headers.get("range")
        if asked is None:
            return Answer(body=IMAGE.layer[:700_000], length=len(IMAGE.layer))
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        return Answer(206, IMAGE.layer[start:]) if obeys else Answer(200, IMAGE.layer)

    fake.answers[PATH] = broken
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake) as offer:
        assert ask(offer, PATH)[2] == IMAGE.layer
        assert offer.failure() is None
    ranges = [headers.get("range") for headers in fake.asked(PATH)]
    assert ranges[0] is None and len(ranges) == 2 and ranges[1] is not None


def test_a_registry_that_goes_silent_is_given_up(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    fake.answers[PATH] = Answer(body=b"", length=len(IMAGE.layer), hold=True)
    quick = replace(settings(fake.host), stall_seconds=0.2)
    with through(tmp_path, quick) as source, offered(source, fake) as offer:
        with pytest.raises(http.client.IncompleteRead):
            ask(offer, PATH)
        failed = offer.failure()
        assert failed is not None and "stalled" in failed[1]


def test_a_token_that_ends_in_the_middle_is_renewed(fake: FakeRegistry, tmp_path: Path) -> None:
    """Manifest and configuration are had with the first password; then only the second is taken."""
    fake.serve(IMAGE)
    taken = ["first"]
    fake.lock(lambda given: given == Login("AWS", taken[0]).header, 'Basic realm="x"')
    given: list[bool] = []

    def get(renew: bool) -> Credentials:
        given.append(renew)
        return Credentials("AWS", "second" if renew else "first")

    with through(tmp_path, settings(fake.host)) as source, offered(source, fake, Renewable("profile", get)) as offer:
        taken[0] = "second"
        assert ask(offer, PATH)[2] == IMAGE.layer
    assert given == [False, False, True]


def test_a_wait_is_told_while_it_lasts(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    honest, answers = fake.answers[PATH], [Answer(429, headers={"Retry-After": "1"})]
    fake.answers[PATH] = lambda _headers: answers.pop() if answers else honest
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake) as offer:
        waits = []
        real = offer._told
        offer._told = lambda wait: (real(wait), waits.append(offer.waiting()))  # type: ignore[method-assign]
        assert ask(offer, PATH)[2] == IMAGE.layer
    assert [wait and (wait.host, wait.status, wait.seconds) for wait in waits] == [(fake.host, 429, 1.0), None]


def test_stopping_ends_a_wait(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    asked = threading.Event()

    def later(_headers: dict[str, str]) -> Answer:
        asked.set()
        return Answer(429, headers={"Retry-After": "50"})

    fake.answers[f"/v2/team/app/manifests/{digest_of(IMAGE.manifest)}"] = later
    with through(tmp_path, settings(fake.host)) as source:
        threading.Thread(target=lambda: asked.wait(10) and source.close(), daemon=True).start()
        with pytest.raises(NodeFailure, match="429 Too Many Requests"), offered(source, fake):
            pass


def test_a_mirror_gives_the_bytes_and_the_registry_what_it_lacks(fake: FakeRegistry, other: FakeRegistry, tmp_path: Path) -> None:
    for registry in (fake, other):
        registry.serve(IMAGE)
    how = settings(fake.host, other.host, mirrors={fake.host: other.host})
    with through(tmp_path / "a", how) as source, offered(source, fake) as offer:
        assert ask(offer, PATH)[2] == IMAGE.layer
    assert fake.seen == [] and len(other.asked(PATH)) == 1
    other.answers[PATH] = Answer(500)
    with through(tmp_path / "b", how) as source, offered(source, fake) as offer:
        assert ask(offer, PATH)[2] == IMAGE.layer
        assert offer.failure() is None
    assert len(fake.asked(PATH)) == 1


def test_two_at_once_share_one_transfer(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    begun, go = threading.Event(), threading.Event()

    def slow(_headers: dict[str, str]) -> Answer:
        begun.set()
        assert go.wait(10)
        return Answer(body=IMAGE.layer)

    fake.answers[PATH] = slow
    found: list[bytes] = []
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake) as one, offered(source, fake) as two:
        threads = [threading.Thread(target=lambda offer=offer: found.append(ask(offer, PATH)[2])) for offer in (one, two)]
        for thread in threads:
            thread.start()
        assert begun.wait(10)
        go.set()
        for thread in threads:
            thread.join(20)
    assert found == [IMAGE.layer, IMAGE.layer] and len(fake.asked(PATH)) == 1


def test_a_registry_that_dribbles_holds_up_nobody_elses_layer(fake: FakeRegistry, other: FakeRegistry, tmp_path: Path) -> None:
    """The same layer of two registries: one begins and never ends, the other's image arrives meanwhile."""
    for registry in (fake, other):
        registry.serve(IMAGE)
    begun, go = threading.Event(), threading.Event()

    def endless(_headers: dict[str, str]) -> Answer:
        begun.set()
        assert go.wait(10)
        return Answer(500)

    other.answers[PATH] = endless
    with (
        through(tmp_path, settings(fake.host, other.host)) as source,
        offered(source, other) as bad,
        offered(source, fake) as good,
    ):
        failed: list[BaseException] = []

        def slow() -> None:
            try:
                ask(bad, PATH)
            except (http.client.HTTPException, OSError) as error:
                failed.append(error)

        thread = threading.Thread(target=slow)
        thread.start()
        try:
            assert begun.wait(10)
            assert ask(good, PATH)[2] == IMAGE.layer and good.failure() is None
        finally:
            go.set()
            thread.join(20)
        assert failed and bad.failure() is not None


def test_what_was_spoilt_on_the_disk_is_fetched_anew(fake: FakeRegistry, tmp_path: Path) -> None:
    """The engine finds that a digest does not fit; the next pull has it from the registry again."""
    fake.serve(IMAGE)
    with through(tmp_path, settings(fake.host)) as source:
        with offered(source, fake) as offer:
            assert ask(offer, PATH)[2] == IMAGE.layer
            offer.distrust()  # nothing of it was kept before
        kept = source.content.find(LAYER)
        assert kept is not None
        kept.write_bytes(b"x" * len(IMAGE.layer))
        with offered(source, fake) as offer:
            assert ask(offer, PATH)[2] != IMAGE.layer
            offer.distrust()
        with offered(source, fake) as offer:
            assert ask(offer, PATH)[2] == IMAGE.layer
    assert len(fake.asked(PATH)) == 2


def test_a_disk_that_takes_nothing_is_the_reason(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    (tmp_path / "file").touch()
    with through(tmp_path / "file", settings(fake.host)) as source, offered(source, fake) as offer:
        with pytest.raises(http.client.IncompleteRead):
            ask(offer, PATH)
        failed = offer.failure()
        assert failed is not None and "cannot be kept" in failed[1]


def test_a_disk_that_fills_up_in_the_middle_is_the_reason(fake: FakeRegistry, tmp_path: Path, monkeypatch) -> None:
    fake.serve(IMAGE)
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake) as offer:
        part = Content.part
        (tmp_path / "full").symlink_to("/dev/full")
        monkeypatch.setattr(Content, "part", lambda self, digest: tmp_path / "full" if digest == LAYER else part(self, digest))
        with pytest.raises(http.client.IncompleteRead):
            ask(offer, PATH)
        failed = offer.failure()
        assert failed is not None
        assert failed[0] == "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION" and "No space left on device" in failed[1]


def test_nothing_is_kept_where_nothing_may_be(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.serve(IMAGE)
    with through(tmp_path, settings(fake.host), limit=0) as source:
        for _ in range(2):
            with offered(source, fake) as offer:
                assert ask(offer, PATH)[2] == IMAGE.layer
            assert list(tmp_path.iterdir()) == []


def test_credentials_are_in_no_log_and_no_file(fake: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake.serve(IMAGE)
    login = Login("robot", "hunter2-is-secret")
    fake.lock(lambda given: given == login.header, 'Basic realm="x"')
    key = Credentials("robot", "hunter2-is-secret")
    with through(tmp_path, settings(fake.host)) as source, offered(source, fake, key) as offer:
        assert ask(offer, PATH)[2] == IMAGE.layer
        assert "hunter2" not in f"{offer.reference} {offer.credentials} {offer.key!r} {vars(offer)}"
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (*login.secrets, offer.credentials.password):
        assert secret not in caplog.text and secret.encode() not in kept
