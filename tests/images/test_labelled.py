"""The check on fifty images with labels: all forty broken ones are named, and the ten good ones pass."""

import hashlib
import json
from pathlib import Path

import pytest

from boathouse.images.check import check
from boathouse.images.findings import Severity
from boathouse.images.views import ArchiveView, open_archive
from tests.images import labelled
from tests.images.labelled import BROKEN, GOOD, Label


def blob(folder: Path, data: bytes, kind: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def opened(folder: Path, label: Label) -> ArchiveView:
    """The label's image as an OCI folder."""
    (folder / "blobs/sha256").mkdir(parents=True)
    layers = [labelled.base(), *label.layers()]
    variables = [f"{name}={value}" for name, value in ({"PATH": labelled.PATH} | dict(label.env)).items()]
    changed = dict(label.config)
    document = {
        "os": "linux", "architecture": "amd64", "config": {"Env": variables, **changed.pop("config", {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]}, **changed,
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2,
        "config": blob(folder, json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(folder, each, "application/vnd.oci.image.layer.v1.tar") for each in layers],
    }
    index = blob(folder, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
    (folder / "oci-layout").write_text("{}")
    return open_archive(folder)


def test_the_set_is_whole() -> None:
    assert (len(BROKEN), len(GOOD)) == (40, 10)
    assert len({label.name for label in BROKEN + GOOD}) == 50


@pytest.mark.parametrize("label", BROKEN, ids=lambda label: label.name)
def test_a_broken_image_is_named(label: Label, tmp_path: Path) -> None:
    report = check(opened(tmp_path / "image", label), label.wanted)
    found = {finding.code: finding for finding in report.findings if finding.severity is not Severity.INFO}
    assert label.code in found, f"found {sorted(found)}"
    named = found[label.code]
    assert named.severity is label.severity and named.fix
    assert report.ok == (label.severity is not Severity.ERROR)
    if label.severity is Severity.ERROR:
        assert report.first_failure == named, "another error comes first"
    else:
        assert set(found) == {label.code}, "and nothing else is wrong with it"


@pytest.mark.parametrize("label", GOOD, ids=lambda label: label.name)
def test_a_good_image_passes(label: Label, tmp_path: Path) -> None:
    report = check(opened(tmp_path / "image", label), label.wanted)
    assert [finding.code for finding in report.findings if finding.severity is not Severity.INFO] == []
