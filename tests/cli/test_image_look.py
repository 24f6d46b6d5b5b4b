"""`boathouse image check|diff` through the command: for which runtime, and what cannot be meant is refused by name."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from boathouse.cli import main
from boathouse.dataplane.contract import Pull, PullState
from tests.images.conftest import Answer, Blobs, FakeRegistry, digest, fake  # noqa: F401 - a fixture
from tests.images.labelled import GOOD
from tests.images.test_labelled import opened


@pytest.fixture
def image(tmp_path):
    """A good image as an OCI folder, and words for a machine that has no release."""
    opened(tmp_path / "image", GOOD[0])
    return [f"--cache={tmp_path / 'cache'}", str(tmp_path / "image")]


def checked(image, capsys, *words):
    cache, folder = image
    code = main(["image", "--output", "json", cache, "check", folder, *words])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {}, told.err


@pytest.mark.parametrize(("said", "key", "spark", "scala"), [
    ("17.3", "17.3.x-scala2.13", "4.0.5", "2.13"), ("17.3-lts", "17.3.x-scala2.13", "4.0.5", "2.13"),
    ("15.4 LTS", "15.4.x-scala2.12", "3.5.7", "2.12"), ("18.0.x", "18.0.x-scala2.13", "4.1.4", "2.13"),
    ("16.4.x-scala2.12", "16.4.x-scala2.12", "3.5.7", "2.12"),
])  # fmt: skip
def test_an_image_is_checked_for_the_runtime_that_is_said_though_it_is_not_built(image, capsys, said, key, spark, scala):
    code, document, told = checked(image, capsys, "--runtime", said)
    assert code == 0 and document["runtime"] == {"key": key, "spark": spark, "scala": scala, "java": "17", "glibc": ""}
    assert "the oldest glibc that its Java runs on is not known" in told and f"boathouse release build {key}" in told


@pytest.mark.parametrize(("words", "told"), [
    (["--runtime", "9.1"], "--runtime: no runtime '9.1'; there are: 18.0.x-scala2.13, 17.3.x-scala2.13"),
    (["--runtime", "18.0-lts"], "--runtime: no runtime '18.0-lts'"),
    (["--runtime", "16.4"], "'16.4' is more than one runtime; give one of: 16.4.x-scala2.13, 16.4.x-scala2.12"),
    (["--cuda-driver", "abc"], "--cuda-driver: 'abc' is no version; give one such as 550.54.15"),
    (["--cuda-driver", "550.54.15", "--compute-capability", "x"], "'x' is no version; give one such as 8.6"),
    (["--compute-capability", "8.6"], "give --cuda-driver"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(image, capsys, words, told):
    code, document, said = checked(image, capsys, *words)
    assert code == 1 and document == {} and told in said


def test_a_comparison_is_for_a_runtime_too(image, capsys):
    cache, folder = image
    assert main(["image", cache, "diff", folder, folder, "--runtime", "9.1"]) == 1
    assert "--runtime: no runtime '9.1'" in capsys.readouterr().err
    assert main(["image", cache, "diff", folder, folder, "--runtime", "15.4"]) == 0
    assert "nothing that a cluster could notice" in capsys.readouterr().out


def test_a_folder_is_begun_for_a_runtime_in_short(tmp_path, capsys):
    assert main(["image", "init", str(tmp_path / "mine"), "--runtime", "17.3-LTS"]) == 0
    assert "17.3.x-scala2.13" in (tmp_path / "mine/.github/workflows/image.yml").read_text()
    assert main(["image", "init", str(tmp_path / "other"), "--runtime", "1.0"]) == 1
    assert "--runtime: no runtime '1.0'" in capsys.readouterr().err and not (tmp_path / "other").exists()


PLAIN = ["--registry-private-hosts", "127.0.0.1", "--registry-plain-http-hosts", "127.0.0.1", "--engine", "unix:///nowhere.sock"]


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """Who calls has no log-in of any registry."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"BOATHOUSE_REGISTRY_{name}", raising=False)


@pytest.mark.parametrize(("words", "wrong", "code", "termination"), [
    ([], "platform", "platform.other", "DOCKER_INVALID_OS_EXCEPTION"),
    (["--max-size", "0.000000001"], "", "size.large", "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION"),
    ([], "digest", "image.pull", "DOCKER_IMAGE_PULL_FAILURE"), ([], "absent", "image.pull", "DOCKER_IMAGE_PULL_FAILURE"),
])  # fmt: skip
def test_what_a_registry_refuses_is_a_finding(
    fake: FakeRegistry, nobody, tmp_path, capsys, words, wrong, code, termination  # noqa: F811
):  # fmt: skip
    image = Blobs(architecture="arm64") if wrong == "platform" else Blobs()
    fake.serve(image)
    text = f"{fake.host}/team/app:1"
    if wrong == "digest":
        text = f"{fake.host}/team/app@sha256:{0:064}"
        fake.answers[f"/v2/team/app/manifests/sha256:{0:064}"] = Answer(body=image.manifest)
    if wrong == "absent":
        text = f"{fake.host}/team/app:2"
    cache = f"--cache={tmp_path / 'cache'}"
    assert main(["image", "--output", "json", cache, *PLAIN, "check", text, *words]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["code"], finding["termination_code"]) == (code, termination) and finding["fix"]
    assert main(["image", cache, *PLAIN, "check", text, *words, "--sarif"]) == 1
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"][0]["ruleId"] == code
    assert main(["image", cache, *PLAIN, "check", text, *words]) == 1
    assert f"{text}: refused" in capsys.readouterr().out


def test_an_archive_has_a_largest_size_too(image, capsys):
    code, document, _ = checked(image, capsys, "--max-size", "0.000000001")
    assert code == 1 and [each["code"] for each in document["findings"] if each["severity"] == "error"] == ["size.large"]
    code, document, told = checked(image, capsys, "--max-size", "0")
    assert code == 1 and document == {} and "--max-size: 0 is not allowed; give gigabytes" in told
    assert checked(image, capsys, "--max-size", "5")[0] == 0


class Engine:
    """The images of an engine that has one; `has` are the digests that it says of it. A pull brings the one of the registry."""

    def __init__(self, has):
        self.has, self.pulled = has, []

    def __call__(self, *_):
        return self

    def local(self, reference):
        return "old"

    def image_config(self, image):
        return {"RepoDigests": [f"registry.example/a@{each}" for each in self.has]}

    def pull(self, pinned, *_):
        self.pulled.append(pinned)
        return Pull(PullState.PRESENT, "new")

    @contextmanager
    def view(self, image):
        config = {"Os": "linux", "Architecture": "amd64", "Env": [], "RootFS": {"Layers": []}}
        yield SimpleNamespace(config=config, stat=lambda path: None, get_archive=lambda path: None)


@pytest.mark.parametrize("current", [True, False])
def test_the_engines_image_is_looked_at_only_where_it_is_what_the_registry_shows(
    fake: FakeRegistry, nobody, tmp_path, monkeypatch, capsys, current  # noqa: F811
):  # fmt: skip
    image = Blobs()
    fake.serve(image)
    engine = Engine([digest(image.manifest)] if current else [f"sha256:{0:064}"])
    there = SimpleNamespace(address="unix:///nowhere.sock", downloads=None, embedded=False)
    monkeypatch.setattr("boathouse.dataplane.engine.locate.find", lambda *_: there)
    monkeypatch.setattr("boathouse.dataplane.engine.images.EngineImages", engine)
    words = ["image", f"--cache={tmp_path / 'cache'}", *PLAIN, "check"]
    assert main([*words, f"{fake.host}/team/app:1"]) == 1
    assert "bash.missing" in capsys.readouterr().out
    assert engine.pulled == ([] if current else [f"{fake.host}/team/app@{digest(image.manifest)}"])
    assert main([*words, f"{fake.host}/team/mine:1"]) == 1
    told = capsys.readouterr()
    assert "bash.missing" in told.out and "the registry does not have it; this is the engine's own" in told.err


def test_the_history_that_a_registry_tells_is_searched_for_secrets(
    fake: FakeRegistry, nobody, tmp_path, monkeypatch, capsys  # noqa: F811
):  # fmt: skip
    image = Told()
    fake.serve(image)
    there = SimpleNamespace(address="unix:///nowhere.sock", downloads=None, embedded=False)
    monkeypatch.setattr("boathouse.dataplane.engine.locate.find", lambda *_: there)
    monkeypatch.setattr("boathouse.dataplane.engine.images.EngineImages", Engine([digest(image.manifest)]))
    main(["image", f"--cache={tmp_path / 'cache'}", *PLAIN, "check", f"{fake.host}/team/app:1"])
    out = capsys.readouterr().out
    assert "secret.history" in out and "hunter2" not in out


class Told(Blobs):
    """An image whose history has a password."""

    @property
    def config(self) -> bytes:
        return json.dumps(
            {**json.loads(super().config), "history": [{"created_by": "RUN export DB_PASSWORD=hunter2hunter2"}]}
        ).encode()
