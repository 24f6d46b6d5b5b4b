"""Building with Buildah where no engine answers: what is asked of it, and that it never sees a password on its command line."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from boathouse.cli import main
from boathouse.images import buildah, references
from boathouse.images.registry_auth import Login
from boathouse.images.rootfs import BuildError

TARGET = references.parse("registry.example/team/app:1")

SCRIPT = """#!/bin/sh
echo "$@" >> {log}
for argument in "$@"; do
  case "$argument" in
    --iidfile=*) printf sha256:abc > "${{argument#--iidfile=}}";;
    --authfile=*) cat "${{argument#--authfile=}}" > {log}.auth; stat -c %a "${{argument#--authfile=}}" >> {log}.mode;;
  esac
done
echo "STEP 1/1: FROM scratch"
exit {status}
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A `buildah` that notes how it was called; returns its log."""

    def install(status: int = 0) -> Path:
        folder, log = tmp_path / "bin", tmp_path / "log"
        folder.mkdir(exist_ok=True)
        (folder / "buildah").write_text(SCRIPT.format(log=log, status=status))
        (folder / "buildah").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return log

    return install


def folder(path: Path) -> Path:
    made = path / "folder"
    made.mkdir(exist_ok=True)
    (made / "Dockerfile").write_text("FROM scratch\n")
    return made


def test_it_builds_and_pushes(tmp_path: Path, fake) -> None:
    log, said = fake(), []
    place = folder(tmp_path)
    assert buildah.build_image(place, "x:1", said.append, {"A": "1 2"}) == "sha256:abc"
    assert said == ["STEP 1/1: FROM scratch"] and "--build-arg=A=1 2 " in log.read_text()
    assert "--no-cache" not in log.read_text() and "--pull-always" not in log.read_text()
    buildah.build_image(place, "x:1", said.append, cache=False, pull=True)
    assert "build --pull-always --no-cache " in log.read_text()
    buildah.push_image("sha256:abc", TARGET, Login("robot", "hunter2"), said.append, plain_http=True)
    assert "--tls-verify=false" in log.read_text() and "docker://registry.example/team/app:1" in log.read_text()
    assert "hunter2" not in log.read_text() and (tmp_path / "log.mode").read_text() == "600\n"
    auths = json.loads((tmp_path / "log.auth").read_text())["auths"]
    assert auths == {TARGET.api_host: {"auth": b64encode(b"robot:hunter2").decode()}}


def test_its_failure_is_told(tmp_path: Path, fake) -> None:
    fake(3)
    with pytest.raises(BuildError, match="the build of x:1 failed: STEP 1/1"):
        buildah.build_image(folder(tmp_path), "x:1", lambda line: None)
    with pytest.raises(BuildError, match="has no Dockerfile"):
        buildah.build_image(tmp_path, "x:1", lambda line: None)


def test_the_command_takes_it_where_no_engine_answers(tmp_path: Path, fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake()
    nowhere = [
        "image",
        "--output",
        "json",
        "--engine",
        "unix:///nowhere.sock",
        "build",
        str(folder(tmp_path)),
        "-t",
        "registry.example/x:1",
    ]
    assert main(nowhere) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"reference": "registry.example/x:1", "id": "sha256:abc", "pushed": False}
    assert "buildah: STEP 1/1" in told.err
    assert main([*nowhere, "--builder", "engine"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    build = ["image", "build", str(folder(tmp_path)), "-t", "registry.example/x:1"]
    assert main([*build, "--builder", "buildah"]) == 1
    assert "apt-get install buildah" in capsys.readouterr().err
    assert main(["image", "--engine", "unix:///nowhere.sock", *build[1:]]) == 1
    assert "or install buildah" in capsys.readouterr().err
