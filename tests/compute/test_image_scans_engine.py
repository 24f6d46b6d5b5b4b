"""An image of the machine's real engine, saved, read and scanned as a launch does it, and remembered."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from boathouse.compute.image_scans import ImageScans
from boathouse.dataplane.contract import Images, NodeFailure
from boathouse.dataplane.engine.client import EngineClient
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.locate import find
from boathouse.images.advisories import database, dumps
from boathouse.settings import default_cache
from boathouse.store import Store
from tests.images.advisories.dumps import osv, zipped

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def images() -> Iterator[EngineImages]:
    client = EngineClient(find(default_cache(), "embedded").address, timeout=600)
    with contextlib.closing(client), contextlib.closing(EngineImages(client, "1a2b3c4d")) as opened:
        yield opened


def test_a_real_image_is_read_once(images: EngineImages, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images.local("localhost/boathouse/python:latest")
    assert image is not None, "set-up loads it"
    known = tmp_path / "advisories.sqlite"
    bash = osv("DEBIAN-CVE-2026-5005", "Debian:12", "bash", {"introduced": "0"}, affected={})
    with dumps.opened([str(zipped(tmp_path / "all.zip", [bash]))]) as opened:
        database.refresh(known, opened)
    scans = ImageScans(store, cast(Images, images), known, tmp_path / "scratch")
    first = scans.of(f"sha256:{'a' * 64}", image)
    assert first.problem == "" and first.result is not None
    assert [(each.identifier, each.package.name) for each in first.result.findings] == [("CVE-2026-5005", "bash")]
    assert "PyPI" in first.result.uncovered and list((tmp_path / "scratch").iterdir()) == []

    def no_more(*_: Any) -> None:
        raise AssertionError("it is read a second time")

    monkeypatch.setattr(images, "save", no_more)
    assert scans.of(f"sha256:{'a' * 64}", image) == first


def test_an_image_that_is_not_there_cannot_be_saved(images: EngineImages, tmp_path: Path) -> None:
    with pytest.raises(NodeFailure):
        images.save(f"sha256:{'0' * 64}", tmp_path / "image.tar")
