"""Scans of several images at once: one image takes room on the disk at a time, and what is remembered waits for none of them."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from boathouse.compute.image_scans import ImageScans
from boathouse.dataplane.contract import Images
from boathouse.images import archive
from boathouse.images.advisories import database, dumps
from boathouse.store import Store
from tests.images import labelled
from tests.images.advisories.dumps import osv, zipped

KNOWN, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class Saving:
    """Images that can be saved. `before` is called with each save."""

    def __init__(self, image: Path) -> None:
        self.image, self.saved = image, 0
        self.before: Callable[[], Any] = lambda: None

    def save(self, image: str, target: Path) -> None:
        self.saved += 1
        self.before()
        shutil.copy(self.image, target)


@pytest.fixture
def images(tmp_path: Path) -> Saving:
    layer = archive.Layer.of_bytes(labelled.layer({"/etc/os-release": b'ID=debian\nVERSION_ID="12"\n'}))
    archive.save(archive.compose((layer,), {}, (), {}, ("localhost/x:1",)), tmp_path / "image.tar")
    return Saving(tmp_path / "image.tar")


@pytest.fixture
def scans(images: Saving, store: Store, tmp_path: Path) -> ImageScans:
    known = tmp_path / "advisories.sqlite"
    bash = osv("DEBIAN-CVE-2026-5005", "Debian:12", "bash", {"introduced": "0"}, affected={})
    with dumps.opened([str(zipped(tmp_path / "all.zip", [bash]))]) as opened:
        database.refresh(known, opened)
    return ImageScans(store, cast(Images, images), known, tmp_path / "scratch")


def test_what_is_remembered_waits_for_nobodys_image(scans: ImageScans, images: Saving) -> None:
    first = scans.of(KNOWN, "known")
    assert first.problem == "" and images.saved == 1
    begun, go = threading.Event(), threading.Event()
    images.before = lambda: (begun.set(), go.wait(20))
    reading = threading.Thread(target=scans.of, args=(NEW, "new"))
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(scans.of(KNOWN, "known")))
    reading.start()
    try:
        assert begun.wait(10)
        asking.start()
        asking.join(10)
        assert found == [first], "it waited for the other image"
    finally:
        go.set()
        reading.join(20)
        asking.join(20)
    assert images.saved == 2


def test_those_who_ask_for_the_same_image_have_it_read_once(scans: ImageScans, images: Saving) -> None:
    begun, go = threading.Event(), threading.Event()
    images.before = lambda: (begun.set(), go.wait(20))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(scans.of(NEW, "new"))) for _ in range(3)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(found) == 3 and images.saved == 1
