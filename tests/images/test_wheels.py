"""Layers of wheels: what pip would install, composed without the image."""

import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from boathouse.images import recipe, rootfs, wheels

INTO = "/databricks/python3/bin/python3"
RECIPE = recipe.parse(
    "mine",
    {"from": "x", "wheels": ["oar==1"], "wheels_python": "3.11", "wheels_into": INTO, "without": ["*/site-packages/*/tests"]},
)


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    """A wheel as `pip wheel` makes them."""
    folder.mkdir(exist_ok=True)
    path, info = folder / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    contents = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{file},,\n" for file in contents) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (contents | {f"{info}/RECORD": record}).items():
            archive.writestr(file, text)
    return path


def test_a_layer_has_what_pip_would_install(tmp_path: Path) -> None:
    oar = wheel(tmp_path, "oar", {"oar/__init__.py": "x = 1", "oar/tests/test_oar.py": "", "nvidia/__init__.py": ""})
    keel = wheel(tmp_path, "keel", {"keel.py": "", "nvidia/__init__.py": ""})
    wheels.layer(RECIPE, [oar, keel], tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as archive:
        members = {member.name: member for member in archive.getmembers()}
        site = "databricks/python3/lib/python3.11/site-packages"
        script = archive.extractfile("databricks/python3/bin/oar")
        assert script is not None and script.read().decode().startswith(f"#!{INTO}\n")
        installer = archive.extractfile(f"{site}/oar-1.dist-info/INSTALLER")
        assert installer is not None and installer.read() == b"pip\n"
    assert f"{site}/oar/__init__.py" in members and f"{site}/keel.py" in members and f"{site}/nvidia/__init__.py" in members
    assert not [name for name in members if "tests" in name or name.endswith(".pyc")]
    assert members["databricks/python3/bin/oar"].mode == 0o755 and members[f"{site}/keel.py"].mode == 0o644
    assert {(each.uid, each.gid, each.mtime, each.uname) for each in members.values()} == {(0, 0, rootfs.EPOCH, "")}


def test_the_same_wheels_are_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        wheels.layer(RECIPE, [wheel(place, "oar", {"oar/__init__.py": "x = 1"})], place / "layer.tar")
    assert (one / "layer.tar").read_bytes() == (other / "layer.tar").read_bytes()


def test_a_lock_names_wheels_as_pip_does(tmp_path: Path) -> None:
    pins = wheels.pinned([wheel(tmp_path, "Oar_Lock", {})])
    assert set(pins) == {"oar-lock"} and pins["oar-lock"][0] == "1" and len(pins["oar-lock"][1]) == 64


def test_locked_wheels_are_fetched_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "there"))
    made = wheel(tmp_path / "there", "oar", {"oar.py": ""})
    pins = wheels.pinned([made])
    fetched = wheels.fetch(RECIPE, tmp_path / "fetched", lambda line: None, pins)
    assert [file.read_bytes() for file in fetched] == [made.read_bytes()]
    with pytest.raises(rootfs.BuildError) as failed:
        wheels.fetch(RECIPE, tmp_path / "again", lambda line: None, {"oar": ("1", "0" * 64)})
    assert "DO NOT MATCH" in failed.value.log and not isinstance(failed.value, wheels.Vanished)


@pytest.mark.parametrize(("name", "gone"), [("oar==2", True), ("keel==1", False)])
def test_another_version_is_told_from_an_index_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, gone: bool
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "there"))
    wheel(tmp_path / "there", "oar", {"oar.py": ""})
    project, _, version = name.partition("==")
    with pytest.raises(rootfs.BuildError) as failed:
        wheels.fetch(RECIPE, tmp_path / "fetched", lambda line: None, {project: (version, "0" * 64)})
    assert isinstance(failed.value, wheels.Vanished) is gone, failed.value.log


@pytest.mark.parametrize("status", [403, 404, 503])
def test_an_index_that_refuses_is_no_version_that_vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for setting in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_address[1]}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        with pytest.raises(rootfs.BuildError) as failed:
            wheels.fetch(RECIPE, tmp_path / "fetched", lambda line: None, {"oar": ("1", "0" * 64)})
    finally:
        server.shutdown()
        server.server_close()
    assert not isinstance(failed.value, wheels.Vanished)
