"""Recipes, their keys, and the cache of what is built; Debian's mirror and tools, and PyPI, are replaced by a stand-in."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from boathouse.images import archive, build, layers, recipe, rootfs
from boathouse.images.recipe import RecipeError
from boathouse.images.views import open_archive
from tests.images.debian_mirror import Mirror


def test_every_recipe_of_the_package_is_well_formed() -> None:
    for name in recipe.names():
        chain = recipe.lineage(name)
        assert chain[0].suite and recipe.shown(chain[-1].name, chain[-1].runtime) == name and chain[-1].about
        assert len(recipe.key(chain)) == 16
        for made in chain:
            assert bool(made.lock.packages) == bool(made.suite or made.packages), f"{made.name} has no lock of its packages"
            assert bool(made.locked_wheels) == bool(made.wheels), f"{name}: {made.name} has no lock of its wheels"
    assert recipe.files_of(recipe.read("daemon"))["boathouse/daemon.py"].startswith(b'"""')


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"suite": "bookworm", "form": "x"}, "unknown field 'form'"),
        ({"about": "x"}, "give either `from`"),
        ({"from": "a", "suite": "b"}, "give either `from`"),
        ({"suite": "b", "packages": "bash"}, "must be a list of texts"),
        ({"suite": "b", "packages": [1]}, "must be a text"),
        ({"suite": "b", "env": []}, "must be a table"),
        ({"suite": "b", "wheels": ["x"]}, "wheels_python"),
        ({"suite": "b", "copy": [{"from": "node"}]}, "exactly the fields"),
    ],
)
def test_malformed_recipes_are_refused(document: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe.parse("mine", document)


def test_unknown_recipes_name_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="daemon, gpu, minimal, minimal:slim"):
        recipe.read("nothing")
    with pytest.raises(RecipeError, match="there is no recipe"):
        recipe.read("../minimal")


def test_a_recipe_is_not_its_own_ancestor(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('from = "b"')
    (tmp_path / "b.toml").write_text('from = "a"')
    with pytest.raises(RecipeError, match="its own ancestor"):
        recipe.lineage("a", tmp_path)


def test_what_is_built_is_not_built_again(mirror: Mirror, tmp_path: Path) -> None:
    assert not build.cached("python", tmp_path)
    first = build.image("python", tmp_path)
    assert mirror.built == ["minimal", "python"] and build.cached("python", tmp_path)
    assert build.image("python", tmp_path) == first
    assert build.image("nobash", tmp_path).layers[:2] == first.layers
    assert mirror.built == ["minimal", "python"]
    archive.save(first, tmp_path / "image.tar")
    view = open_archive(tmp_path / "image.tar")
    assert view.lookup("/usr/share/minimal/bash") and view.lookup("/usr/share/python/python3")
    assert view.config.environment["PYSPARK_PYTHON"] == "/databricks/python3/bin/python3"
    assert view.config.environment["LANG"] == "C.UTF-8"
    assert dict(view.config.labels)["io.boathouse.recipe"] == "python"


def test_families_are_prepared_together(mirror: Mirror, tmp_path: Path) -> None:
    build.prepare(["daemon", "python", "nobash", "standard"], tmp_path)
    assert sorted(mirror.built) == ["daemon", "minimal", "python", "standard"]
    assert all(build.cached(name, tmp_path) for name in ("daemon", "python", "nobash", "standard"))
    build.prepare([], tmp_path)


def test_a_changed_daemon_is_another_image_on_the_same_root(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build.image("daemon", tmp_path)
    monkeypatch.setattr(recipe, "files_of", lambda made: {"boathouse/daemon.py": b"changed"} if made.copy else {})
    second = build.image("daemon", tmp_path)
    assert mirror.built == ["daemon"]
    assert first.identifier != second.identifier and first.references != second.references
    assert first.layers[0] == second.layers[0]
    assert json.loads(second.configuration)["config"]["Cmd"][0] == "/usr/bin/python3"


def test_a_child_is_built_again_when_its_parents_bytes_changed(mirror: Mirror, tmp_path: Path) -> None:
    build.image("python", tmp_path)
    place = next((tmp_path / "images").glob("minimal-*[!k]")) / "layer.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"digest": "sha256:other"}))
    assert not build.cached("python", tmp_path)
    build.image("python", tmp_path)
    assert mirror.built == ["minimal", "python", "python"]


def test_a_failed_build_leaves_nothing_that_looks_built(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(made: recipe.Recipe, parent: Path | None, target: Path, progress, mirror: str, preferences: str) -> None:
        target.write_bytes(b"half")
        raise rootfs.BuildError("no network", "last words")

    monkeypatch.setattr(rootfs, "build", fail)
    with pytest.raises(rootfs.BuildError, match="no network"):
        build.image("minimal", tmp_path)
    assert not build.cached("minimal", tmp_path)
    assert {path.suffix for path in (tmp_path / "images").iterdir()} == {".lock"}


def test_the_command_line_of_a_build() -> None:
    minimal = rootfs.command(recipe.read("minimal"), None, Path("/t/rootfs.tar"))
    assert "--variant=minbase" in minimal and minimal[-2:] == ["bookworm", "/t/rootfs.tar"]
    assert "--chrooted-customize-hook=useradd libraries" in minimal
    assert "usr-is-merged" in recipe.read("minimal").packages and any(part.endswith("hooks/merged-usr") for part in minimal)
    child = rootfs.command(
        recipe.read("standard"), Path("/a b/rootfs.tar"), Path("/t/rootfs.tar"), "http://mirror", Path("/t/preferences")
    )
    assert "--variant=custom" in child and child[-1] == "http://mirror"
    assert any("'/a b/rootfs.tar'" in part for part in child)
    written = next(at for at, part in enumerate(child) if part.startswith("--setup-hook") and "/t/preferences" in part)
    removed = next(at for at, part in enumerate(child) if part.startswith("--customize-hook=rm -f") and "preferences.d" in part)
    assert written < removed


def test_small_layers_are_the_same_bytes_each_time() -> None:
    one = layers.small_layer({"/a/b": b"1", "c": b"2"}, ["/usr/bin/bash"])
    assert one == layers.small_layer({"c": b"2", "a/b": b"1"}, ["usr/bin/bash"])


class FakeApi:
    """An engine that knows images by reference."""

    def __init__(self, answer: dict) -> None:
        self.images: dict[str, str] = {}
        self.loads = 0
        self.answer = answer

    @property
    def api(self) -> "FakeApi":
        return self

    def inspect_image(self, reference: str) -> dict:
        import docker.errors

        if reference not in self.images:
            raise docker.errors.ImageNotFound(reference)
        return {"Id": self.images[reference]}

    def load_image(self, stream):
        self.loads += 1
        data = b"".join(stream)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            manifest = json.loads(tar.extractfile("manifest.json").read())[0]  # type: ignore[union-attr]
        if not self.answer:
            self.images |= {tag: manifest["Config"].removesuffix(".json") for tag in manifest["RepoTags"]}
        return [self.answer or {"stream": "Loaded image"}]


def test_loading_happens_once(mirror: Mirror, tmp_path: Path) -> None:
    engine = FakeApi({})
    reference = build.load(engine, "minimal", tmp_path)
    assert reference == build.reference("minimal") and reference.startswith("localhost/boathouse/minimal:")
    assert build.load(engine, "minimal", tmp_path) == reference and engine.loads == 1


def test_an_engine_that_refuses(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match="refused") as failed:
        build.load(FakeApi({"error": "no space left"}), "minimal", tmp_path)
    assert failed.value.log == "no space left"
    with pytest.raises(build.BuildError, match="does not show it"):
        build.load(FakeApi({"stream": "?"}), "minimal", tmp_path)
