"""`boathouse advisories` and `boathouse image scan`, from dumps and archives to exit codes."""

import json
from pathlib import Path

import pytest

from boathouse.cli import main
from boathouse.images import archive
from tests.images import labelled
from tests.images.advisories.dumps import DOCUMENTS, tracker, zipped

SITE = labelled.SITE
RELEASE = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
DPKG = b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u9\n"
BASE = {
    "/etc/os-release": RELEASE, "/var/lib/dpkg/status": DPKG,
    "/var/lib/dpkg/info/libc6:amd64.list": b"/lib/x86_64-linux-gnu/libc.so.6\n",
}  # fmt: skip
YOURS = {
    f"{SITE}/River_Stats-1.0.dist-info/METADATA": b"Name: River_Stats\nVersion: 1.0\n",
    "/var/lib/dpkg/status": DPKG + b"\nPackage: mine\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n",
    "/opt/odd.jar": b"nothing",
}


def saved(path: Path, *layers: dict[str, bytes], labels: dict[str, str] | None = None) -> str:
    stack = tuple(archive.Layer.of_bytes(labelled.layer(files)) for files in layers)
    archive.save(archive.compose(stack, {}, (), labels or {}, ("localhost/x:1",)), path)
    return str(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A cache of its own, with advisories."""
    monkeypatch.setenv("BOATHOUSE_CACHE", str(tmp_path / "cache"))
    sources = [str(zipped(tmp_path / "all.zip", DOCUMENTS)), str(tracker(tmp_path / "t"))]
    assert main(["advisories", "refresh", "--from", sources[0], "--from", sources[1]]) == 0
    return tmp_path


def scanned(capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = main(["image", "--output", "json", "scan", *words])
    return code, json.loads(capsys.readouterr().out)


def test_refresh_again_and_status(machine, capsys):
    assert main(["advisories", "refresh"]) == 0
    capsys.readouterr()
    assert main(["advisories", "status"]) == 0
    out = capsys.readouterr().out
    assert "Debian:12" in out and "advisories as of today" in out and "newest 2026-01-01" in out


def test_without_advisories(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BOATHOUSE_CACHE", str(tmp_path / "empty"))
    for words in (["advisories", "status"], ["advisories", "refresh"], ["image", "scan", saved(tmp_path / "a.tar", BASE)]):
        assert main(words) == 1
        assert "boathouse advisories refresh --from FILE|DIR|URL" in capsys.readouterr().err


def test_whose_layer_it_is(machine, capsys):
    base, image = saved(machine / "base.tar", BASE), saved(machine / "image.tar", BASE, YOURS)
    code, report = scanned(capsys, image, "--base", base, "--fail-on", "critical")
    fields = ("package", "version", "fixed", "layer", "origin")
    told = {each["id"]: tuple(each[field] for field in fields) for each in report["findings"]}
    assert code == 3 and report["worst"] == "critical" and report["complete"]
    assert told == {
        "CVE-2026-1001": ("river-stats", "1.0", "1.1", 1, "yours"),
        "CVE-2026-4004": ("libc6", "2.36-9+deb12u9", "2.36-9+deb12u10", 0, "base"),
        "TEMP-0000000-ABCDEF": ("libc6", "2.36-9+deb12u9", "", 0, "base"),
        "CVE-2010-4756": ("libc6", "2.36-9+deb12u9", "", 0, "base"),
    }  # fmt: skip
    assert report["findings"][0]["place"] == f"{SITE}/River_Stats-1.0.dist-info/METADATA"
    assert scanned(capsys, base, "--fail-on", "critical")[0] == 0
    assert main(["image", "scan", base, "--base", image]) == 1
    assert "is not made of" in capsys.readouterr().err


def test_the_base_that_a_label_names_is_said(machine, capsys):
    labels = {"org.opencontainers.image.base.name": "team/base:1", "org.opencontainers.image.base.digest": f"sha256:{0:064}"}
    assert main(["image", "scan", saved(machine / "a.tar", BASE, labels=labels)]) == 0
    assert f"its base is team/base:1@sha256:{'0' * 64}" in capsys.readouterr().err


def test_text_with_decisions(machine, capsys):
    image = saved(machine / "image.tar", BASE, YOURS)
    (machine / "i.yaml").write_text(
        "ignore:\n"
        "  - {vulnerability: CVE-2026-1001, reason: not called, until: 2999-01-01}\n"
        "  - {vulnerability: CVE-2026-4004, package: glibc, reason: later, until: 2020-01-01}\n"
    )
    capsys.readouterr()
    assert main(["image", "scan", image, "--ignore", str(machine / "i.yaml"), "--fail-on", "critical"]) == 0
    out = capsys.readouterr().out
    assert "1 high, 1 medium, 1 negligible" in out
    assert "ignored: CVE-2026-1001 of river-stats: not called (i.yaml, until 2999-01-01)" in out
    assert "expired: CVE-2026-4004 of glibc counts again" in out
    assert "advisories as of today" in out
    assert main(["image", "scan", image, "--ignore", str(machine / "i.yaml"), "--fail-on", "high"]) == 3
    (machine / "i.yaml").write_text("ignore: [{vulnerability: X}]")
    assert main(["image", "scan", image, "--ignore", str(machine / "i.yaml")]) == 1


def test_sarif(machine, capsys):
    capsys.readouterr()
    assert main(["image", "scan", saved(machine / "image.tar", BASE, YOURS), "--sarif"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[each["ruleIndex"]] for each in run["results"]] == [each["ruleId"] for each in run["results"]]
    assert run["results"][0]["level"] == "error" and run["invocations"][0]["executionSuccessful"]


def test_an_image_that_hides_its_packages_does_not_pass_a_gate(machine, capsys):
    image = saved(machine / "image.tar", {"/etc/os-release": RELEASE, "/var/lib/rpm/Packages": b"old"})
    assert main(["image", "scan", image]) == 0
    assert "not read: /var/lib/rpm/Packages: this form of RPM's data base is not read" in capsys.readouterr().out
    assert main(["image", "scan", image, "--fail-on", "critical"]) == 3


def test_packages_of_which_nothing_is_known_do_not_pass_a_gate_unless_it_says_so(machine, capsys):
    image = saved(machine / "image.tar", BASE | {"/etc/os-release": RELEASE.replace(b'"12"', b'"11"')})
    capsys.readouterr()
    assert main(["image", "scan", image, "--fail-on", "critical"]) == 3
    told = capsys.readouterr()
    assert "; nothing is known of packages of Debian:11" in told.out.splitlines()[0]
    assert "nothing is known of Debian:11" in told.err and "--allow-uncovered" in told.err
    assert main(["image", "scan", image, "--fail-on", "critical", "--allow-uncovered", "Debian:11"]) == 0
    capsys.readouterr()
    for words, said in (
        (["--allow-uncovered", "npm"], "--allow-uncovered: nothing fails without --fail-on"),
        (["--fail-on", "high", "--allow-uncovered", "nmp"], "'nmp' is no ecosystem; give PyPI, npm"),
    ):
        assert main(["image", "scan", image, *words]) == 1
        assert said in capsys.readouterr().err


def test_the_code_of_what_is_no_image(machine, capsys):
    (machine / "x.tar").write_bytes(b"nothing")
    assert main(["image", "scan", str(machine / "x.tar")]) == 1
    assert main(["image", "scan", str(machine / "none.tar")]) == 1
