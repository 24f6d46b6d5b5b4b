"""What is installed in an image, its bill of materials, and what changes from one image to another."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from boathouse.images import archive, bill, difference, packages
from boathouse.images.archive_view import ArchiveView, open_archive
from boathouse.images.check import check
from tests.images import labelled
from tests.images.labelled import SITE

AT = datetime(2026, 1, 2, tzinfo=UTC)
DPKG = """Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.134
"""
APK = "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\nP:busybox\nV:1.36.1-r5\nA:x86_64\n"
INSTALLED = {
    "/var/lib/dpkg/status": DPKG.encode(),
    f"{SITE}/River_Stats-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: River_Stats\nVersion: 1.0\n\nText\n",
    "/usr/lib/R/site-library/ggplot2/DESCRIPTION": b"Package: ggplot2\nVersion: 3.5.1\nLicense: MIT + file LICENSE\n",
    "/opt/app/node_modules/@types/node/package.json": b'{"name": "@types/node", "version": "20.1.0", "license": "MIT"}',
    "/opt/app/node_modules/bad/package.json": b"[[",
    "/opt/jars/postgresql-42.7.3.jar": b"PK",
    "/opt/jars/noversion.jar": b"PK",
    "/var/lib/rpm/rpmdb.sqlite": b"x",
    "/var/lib/dpkg/info/bash.list": b"/bin/bash\n",
}
FOUND = [
    "pkg:cran/ggplot2@3.5.1", "pkg:deb/ubuntu/adduser@3.134?arch=all", "pkg:deb/ubuntu/bash@5.2.15-2%2Bb7?arch=amd64",
    "pkg:maven/postgresql@42.7.3", "pkg:npm/%40types/node@20.1.0", "pkg:pypi/river-stats@1.0",
]  # fmt: skip


def opened(path: Path, *layers: bytes, env: dict[str, str] | None = None) -> ArchiveView:
    stack = tuple(archive.Layer.of_bytes(data) for data in layers)
    archive.save(archive.compose(stack, env or {}, (), {}, ("localhost/x:1",)), path)
    return open_archive(path, packages.READ)


def inventory(path: Path, **more: bytes) -> packages.Inventory:
    return packages.inventory(opened(path, labelled.base(), labelled.layer(INSTALLED)))


def test_every_data_base_is_read(tmp_path):
    found = inventory(tmp_path / "a.tar")
    assert sorted(package.purl for package in found.packages) == FOUND
    assert found.unread == ("/var/lib/rpm/rpmdb.sqlite",)
    assert {package.layer for package in found.packages} == {1}


def test_alpine(tmp_path):
    view = opened(tmp_path / "a.tar", labelled.layer({"/lib/apk/db/installed": APK.encode(), "/etc/os-release": b"ID=alpine\n"}))
    assert [package.purl for package in packages.inventory(view).packages] == [
        "pkg:apk/alpine/busybox@1.36.1-r5?arch=x86_64", "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64",
    ]  # fmt: skip


def test_what_a_later_layer_removes_is_not_installed(tmp_path):
    gone = labelled.layer({}, (f"{SITE}/River_Stats-1.0.dist-info", "/opt"))
    view = opened(tmp_path / "a.tar", labelled.base(), labelled.layer(INSTALLED), gone)
    assert {package.kind for package in packages.inventory(view).packages} == {"deb", "cran"}


@pytest.mark.parametrize("made", [bill.cyclonedx, bill.spdx])
def test_the_same_packages_give_the_same_bill(tmp_path, made):
    found = inventory(tmp_path / "a.tar").packages
    text = made("team/x:1", "sha256:00", found, AT)
    assert text == made("team/x:1", "sha256:00", found, AT)
    assert all(json.dumps(purl)[1:-1] in text for purl in FOUND)


def test_cyclonedx_and_spdx_are_whole(tmp_path):
    found = inventory(tmp_path / "a.tar").packages
    document = json.loads(bill.cyclonedx("team/x:1", "sha256:00", found, AT))
    assert (document["bomFormat"], document["specVersion"], len(document["components"])) == ("CycloneDX", "1.6", len(FOUND))
    assert document["metadata"]["component"]["name"] == "team/x:1"
    document = json.loads(bill.spdx("team/x:1", "sha256:00", found, AT))
    assert document["spdxVersion"] == "SPDX-2.3" and len(document["packages"]) == len(FOUND) + 1


def test_a_difference(tmp_path):
    python = {f"{SITE}/River_Stats-1.1.dist-info/METADATA": b"Name: river-stats\nVersion: 1.1\n"}
    upper = labelled.layer(python, (f"{SITE}/River_Stats-1.0.dist-info", "/opt/jars", f"{SITE}/pip", f"{labelled.SYSTEM}/pip"))
    lower = [labelled.base(), labelled.layer(INSTALLED)]
    sides = []
    for name, layers, env in (("a.tar", lower, {"A": "1"}), ("b.tar", [*lower, upper], {"A": "2"})):
        view = opened(tmp_path / name, *layers, env=env)
        sides.append(difference.Side(view.config, packages.inventory(view).packages, check(view), view.size_bytes or 0))
    found = difference.compare(*sides)
    assert found.packages == (("maven postgresql", "42.7.3", ""), ("pypi river-stats", "1.0", "1.1"))
    assert found.configuration == (("ENV A", "1", "2"),)
    assert [finding.code for finding in found.new_findings] == ["python.pip"] and found.gone_findings == ()
    assert (found.shared_layers, found.layers) == (2, (2, 3)) and not found.same
    assert difference.compare(sides[0], sides[0]).same
