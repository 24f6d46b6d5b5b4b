"""Looking into archives that mean no good, and into good ones."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from boathouse.images import archive, bounded_tar, layers
from boathouse.images.check import check
from boathouse.images.findings import Kind
from boathouse.images.tree import HostileImage, Tree
from boathouse.images.views import EngineView, UnreadableArchive, open_archive


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, size, mode
    return info


def layer(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in entries:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def saved(path: Path, *contents: bytes) -> Path:
    stack = tuple(archive.Layer.of_bytes(data) for data in contents)
    archive.save(archive.compose(stack, {"A": "1"}, (), {}, ("localhost/x:1",)), path)
    return path


def test_layers_are_merged_as_engines_do(tmp_path: Path) -> None:
    lower = layer(
        (member("etc/a"), b"low"),
        (member("etc/b"), b"b"),
        (member("opt/x/y"), b"y"),
        (member("bin", tarfile.SYMTYPE, "usr/bin"), b""),
    )
    upper = layer(
        (member("etc/a"), b"high"),
        (member("etc/.wh.b"), b""),
        (member("opt/.wh..wh..opq"), b""),
        (member("opt/z"), b"z"),
        (member("usr/bin/sh"), b"#!"),
    )
    view = open_archive(saved(tmp_path / "image.tar", lower, upper))
    assert view.read("/etc/a", 100) == b"high" and view.read("/etc/a", 2) == b"hi"
    assert view.lookup("/etc/b") is None and view.lookup("/opt/x/y") is None and view.lookup("/opt/x") is None
    assert view.lookup("/bin/sh") == view.lookup("/usr/bin/sh") and view.read("/bin/sh", 9) == b"#!"
    assert view.size_bytes == len("high" + "z" + "#!")
    assert view.config.environment["A"] == "1"
    with pytest.raises(FileNotFoundError):
        view.read("/etc", 10)


def test_links_stay_inside_and_circles_end() -> None:
    tree = Tree()
    for info in (
        member("a", tarfile.SYMTYPE, "b"),
        member("b", tarfile.SYMTYPE, "a"),
        member("up", tarfile.SYMTYPE, "../../../../etc/passwd"),
        member("self/x", tarfile.SYMTYPE, "/self/x/x/x"),
        member("etc/passwd", size=3),
        member("gone", tarfile.SYMTYPE, "/nowhere"),
        member("hard", tarfile.LNKTYPE, "etc/passwd"),
        member("bad", tarfile.LNKTYPE, "../../etc/shadow"),
        member("dev/null", tarfile.CHRTYPE),
    ):
        tree.add(0, info)
    for path in ("/a", "/b/c", "/self/x", "/gone", "/etc/passwd/x", "/nothing"):
        assert tree.lookup(path) is None
    found = tree.lookup("/up")
    assert found is not None and found[0].path == "/etc/passwd"
    hard, bad, null = tree.lookup("/hard"), tree.lookup("/bad"), tree.lookup("/../dev/./null")
    assert hard and hard[0].kind is Kind.FILE and hard[1].member == "etc/passwd"
    assert bad and bad[0].kind is Kind.OTHER and null and null[0].kind is Kind.OTHER
    assert tree.size_bytes == 3


def test_a_path_upwards_is_refused() -> None:
    with pytest.raises(HostileImage, match=r"\.\."):
        Tree().add(0, member("../../etc/cron.d/x"))


def test_a_huge_header_is_refused(tmp_path: Path) -> None:
    long = member("x" * 100 + "/y")
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=bounded_tar.LONGEST_HEADER + 1).tobuf(tarfile.GNU_FORMAT)
    data = header + b"a" * (bounded_tar.LONGEST_HEADER + 512) + long.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024
    with pytest.raises(HostileImage, match="header"):
        open_archive(saved(tmp_path / "image.tar", data))


def test_a_layer_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tar, "MOST_UNPACKED", 1 << 20)
    bomb = gzip.compress(layer((member("zeros"), b"\0" * (4 << 20))))
    assert len(bomb) < 10_000
    with pytest.raises(HostileImage, match="unpacks to more"):
        open_archive(saved(tmp_path / "image.tar", bomb))


def oci(path: Path, layer_data: bytes, spoil: bool = False) -> Path:
    def blob(data: bytes) -> dict:
        digest = hashlib.sha256(data).hexdigest()
        (path / "blobs/sha256" / digest).write_bytes(data + b" " if spoil else data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    (path / "blobs/sha256").mkdir(parents=True)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    config = blob(json.dumps({"os": "linux", "architecture": "amd64", "config": {"User": "app"}}).encode())
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": [blob(layer_data)]}).encode())
    other = {**manifest, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "arm64"}}
    platform = {"platform": {"os": "linux", "architecture": "amd64"}}
    (path / "index.json").write_text(json.dumps({"manifests": [other, manifest | platform]}))
    return path


def test_oci_folders_and_archives(tmp_path: Path) -> None:
    folder = oci(tmp_path / "oci", gzip.compress(layer((member("etc/a"), b"text"))))
    packed = tmp_path / "oci.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(folder, arcname=".")
    for place in (folder, packed):
        view = open_archive(place)
        assert view.config.user == "app" and view.read("/etc/a", 9) == b"text"


def test_a_foreign_layer_is_not_asked_for(tmp_path: Path) -> None:
    folder = oci(tmp_path / "oci", gzip.compress(layer((member("etc/a"), b"text"))))
    index = json.loads((folder / "index.json").read_text())
    (digest,) = {each["digest"] for each in index["manifests"] if "0" * 64 not in each["digest"]}
    manifest = json.loads((folder / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    manifest["layers"][0] |= {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "urls": ["http://evil.example/x"],
    }  # fmt: skip
    data = json.dumps(manifest).encode()
    name = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256" / name).write_bytes(data)
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": f"sha256:{name}", "size": len(data)}]}))
    with pytest.raises(UnreadableArchive, match="foreign"):
        open_archive(folder)


def test_layers_may_be_zstd(tmp_path: Path) -> None:
    packed = zstandard.compress(layer((member("etc/a"), b"text"), (member("usr/lib/os-release"), b"ID=x")))
    view = open_archive(oci(tmp_path / "oci", packed))
    assert view.read("/etc/a", 9) == b"text" and view.read("/usr/lib/os-release", 2) == b"ID"
    with pytest.raises(UnreadableArchive, match="damaged"):
        open_archive(oci(tmp_path / "damaged", packed[:5] + b"\xff" * 40))


def test_a_covered_file_is_remembered(tmp_path: Path) -> None:
    lower = layer((member("root/.ssh/id_rsa"), b"key"), (member("etc/a"), b"a"), (member("opt/x/y"), b"y"))
    upper = layer(
        (member("root/.ssh/.wh.id_rsa"), b""), (member("etc/a"), b"b"), (member("opt/.wh..wh..opq"), b""), (member("new"), b"")
    )
    view = open_archive(saved(tmp_path / "image.tar", lower, upper))
    assert view.buried == {"/root/.ssh/id_rsa", "/etc/a", "/opt/x/y"}


def test_blobs_must_have_their_digest(tmp_path: Path) -> None:
    with pytest.raises(HostileImage, match="digest"):
        open_archive(oci(tmp_path / "oci", b"", spoil=True))


def test_a_folder_does_not_lead_out(tmp_path: Path) -> None:
    folder = oci(tmp_path / "oci", b"")
    (tmp_path / "secret").write_text("{}")
    (folder / "index.json").unlink()
    (folder / "index.json").symlink_to(tmp_path / "secret")
    with pytest.raises(UnreadableArchive, match="is no image"):
        open_archive(folder)


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"{}",
        b"no",
        b"[{}]",
        b'[{"Config": "/etc/passwd", "Layers": []}]',
        b'[{"Config": "c", "Layers": ["../../x"]}]',
        b"[" * 50_000,
    ],
)
def test_contradictory_archives_are_refused(tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / "image.tar").write_bytes(layer((member("manifest.json"), manifest), (member("c"), b'{"os": "linux"}')))
    with pytest.raises((UnreadableArchive, HostileImage)):
        open_archive(tmp_path / "image.tar")


@given(data=st.binary(max_size=600))
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / "image.tar"
    path.write_bytes(data)
    with pytest.raises((UnreadableArchive, HostileImage)):
        open_archive(path)


names = st.lists(st.sampled_from(["a", "b", ".wh.a", ".wh..wh..opq", "c"]), min_size=1, max_size=4).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


@given(
    st.lists(st.tuples(st.integers(0, 3), names, kinds, names | st.just("/") | st.just("../.."), st.integers(0, 9)), max_size=30),
    names,
)
def test_any_layers_make_a_tree_that_adds_up(entries, asked: str) -> None:
    tree = Tree()
    for number, name, kind, link, size in sorted(entries, key=lambda entry: entry[0]):
        tree.add(number, member(name, kind, link, size if kind == tarfile.REGTYPE else 0))
    tree.lookup("/" + asked)
    assert tree.size_bytes == sum(node.size for node in tree._nodes.values()) >= 0
    assert all(path == "/" or path in tree._children[path.rpartition("/")[0] or "/"] for path in tree._nodes)


def test_difference_and_parent_make_the_child(tmp_path: Path) -> None:
    """What `layers.difference` writes, laid over the parent, is the child."""
    one, two, three = tmp_path / "one.tar", tmp_path / "two.tar", tmp_path / "three.tar"
    one.write_bytes(
        layer(
            (member("d", tarfile.DIRTYPE), b""),
            (member("d/keep"), b"1"),
            (member("d/change"), b"1"),
            (member("d/gone"), b"1"),
            (member("dir", tarfile.DIRTYPE), b""),
            (member("dir/in"), b"1"),
        )
    )
    two.write_bytes(
        layer(
            (member("d", tarfile.DIRTYPE), b""),
            (member("d/keep"), b"1"),
            (member("d/change"), b"22"),
            (member("d/new"), b"333"),
            (member("d/hard", tarfile.LNKTYPE, "d/keep"), b""),
            (member("dir"), b"now a file"),
        )
    )
    layers.difference(one, two, three)
    with tarfile.open(three) as tar:
        assert sorted(tar.getnames()) == ["d", "d/.wh.gone", "d/change", "d/hard", "d/new", "dir"]
    view = open_archive(saved(tmp_path / "image.tar", one.read_bytes(), three.read_bytes()))
    found = {path: view.read(path, 99) for path in ("/d/keep", "/d/change", "/d/new", "/d/hard", "/dir")}
    assert found == {"/d/keep": b"1", "/d/change": b"22", "/d/new": b"333", "/d/hard": b"1", "/dir": b"now a file"}
    assert view.lookup("/d/gone") is None


class FakeRaw:
    """An engine's answers: links are told with where they lead."""

    config = {"Os": "linux", "Architecture": "amd64", "Env": ["PATH=/bin"], "Size": 7, "Cmd": ["sh"]}
    config |= {"RootFS": {"Type": "layers", "Layers": ["sha256:0", "sha256:1"]}}

    def __init__(self) -> None:
        self.asked: list[str] = []

    def stat(self, path: str):
        self.asked.append(path)
        link = (1 << 27) | 0o777
        return {
            "/bin/bash": {"mode": link, "linkTarget": "/usr/bin/bash", "size": 5},
            "/usr/bin/bash": {"mode": 0o755, "size": 42, "linkTarget": ""},
            "/loop": {"mode": link, "linkTarget": "/pool"},
            "/pool": {"mode": link, "linkTarget": "/loop"},
            "/self": {"mode": link, "linkTarget": "/self"},
            "/dir": {"mode": (1 << 31) | 0o755},
            "/pipe": {"mode": (1 << 25) | 0o644},
        }.get(path)

    def get_archive(self, path: str):
        return iter([layer((member("bash"), b"0123456789"))]) if path == "/bin/bash" else None


def test_an_engines_view() -> None:
    raw = FakeRaw()
    view = EngineView(raw)
    entry = view.lookup("/bin/bash")
    assert entry and (entry.path, entry.size, entry.executable) == ("/usr/bin/bash", 42, True)
    assert view.lookup("/bin/bash") is entry and len(raw.asked) == 2
    assert view.lookup("/loop") is None and view.lookup("/self") is None and view.lookup("/nothing") is None
    directory, pipe = view.lookup("/dir"), view.lookup("/pipe")
    assert directory and directory.kind is Kind.DIRECTORY and pipe and pipe.kind is Kind.OTHER
    assert view.read("/bin/bash", 4) == b"0123"
    with pytest.raises(FileNotFoundError):
        view.read("/nothing", 4)
    assert (view.size_bytes, view.config.command) == (7, ("sh",))
    assert view.config.diff_ids == ("sha256:0", "sha256:1")
    assert not check(view).ok
