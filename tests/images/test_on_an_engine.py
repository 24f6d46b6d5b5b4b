"""The platform's own images on the machine's real engine: loaded once, seen by the check as archives are."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from boathouse.dataplane.engine.client import EngineClient
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.locate import Engine, find
from boathouse.images import archive, build, user_builds
from boathouse.images.check import check
from boathouse.images.findings import Wanted
from boathouse.images.views import EngineView, open_archive
from boathouse.settings import default_cache

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return find(default_cache(), "embedded")


@pytest.fixture(scope="module")
def client(engine: Engine) -> EngineClient:
    return EngineClient(engine.address, timeout=600)


@pytest.fixture(scope="module")
def images(client: EngineClient) -> Iterator[EngineImages]:
    with contextlib.closing(EngineImages(client, "1a2b3c4d")) as opened:
        yield opened


@pytest.mark.parametrize(("name", "failure"), [("python", None), ("minimal", None), ("nobash", "bash.missing")])
def test_an_engine_and_an_archive_show_the_same(
    client: EngineClient, images: EngineImages, tmp_path: Path, name: str, failure: str | None
) -> None:
    cache = default_cache()
    reference = build.load(client, name, cache)
    assert build.load(client, name, cache) == reference
    local = images.local(reference)
    assert local
    with images.view(local) as raw:
        live = check(EngineView(raw), Wanted(glibc="2.34"))
    archive.save(build.image(name, cache), tmp_path / "image.tar")
    saved = check(open_archive(tmp_path / "image.tar"), Wanted(glibc="2.34"))
    assert live == saved
    assert (live.first_failure.code if live.first_failure else None) == failure
    assert (live.python is None) == (name == "minimal")


def test_a_users_image_is_built_on_ours(client: EngineClient, images: EngineImages, tmp_path: Path) -> None:
    base = build.load(client, "python", default_cache())
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nCOPY greeting /opt/greeting\nRUN cp /opt/greeting /opt/copied\n")
    (tmp_path / "greeting").write_text("ahoy")
    identifier = user_builds.build_image(client, tmp_path, "localhost/boathouse-test/user:1", build.silent)
    try:
        with images.view(identifier) as raw:
            assert EngineView(raw).read("/opt/copied", 99) == b"ahoy"
    finally:
        client.api.remove_image("localhost/boathouse-test/user:1", force=True)
