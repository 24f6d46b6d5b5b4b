"""Jars are written the same each time, and lose their signatures where they have some."""

import zipfile
from pathlib import Path

import pytest

from boathouse.releases import jars

MANIFEST = b"Manifest-Version: 1.0\r\nBundle-Name: x\r\n\r\nName: a/B.class\r\nSHA-256-Digest: abc=\r\n\r\n"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    jar = tmp_path / "signed.jar"
    with zipfile.ZipFile(jar, "w") as file:
        file.writestr("META-INF/", b"")
        file.writestr("META-INF/MANIFEST.MF", MANIFEST)
        file.writestr("META-INF/KEY.SF", b"sf")
        file.writestr("META-INF/KEY.RSA", b"rsa")
        file.writestr("META-INF/services/x.Y", b"z")
        file.writestr("a/B.class", b"\xca\xfe")
    return jar


def test_signatures_and_digests_are_gone_and_everything_else_stays(signed: Path, tmp_path: Path) -> None:
    assert jars.is_signed(signed)
    out = tmp_path / "out.jar"
    jars.strip_signatures(signed, out)
    assert not jars.is_signed(out)
    with zipfile.ZipFile(out) as file:
        assert file.namelist() == ["META-INF/MANIFEST.MF", "META-INF/", "META-INF/services/x.Y", "a/B.class"]
        assert file.read("META-INF/MANIFEST.MF") == b"Manifest-Version: 1.0\r\nBundle-Name: x\r\n\r\n"
        assert file.read("a/B.class") == b"\xca\xfe"


def test_the_same_entries_give_the_same_bytes(tmp_path: Path) -> None:
    entries = {"b": b"2", "META-INF/MANIFEST.MF": b"m", "a": b"1"}
    jars.write(tmp_path / "one.jar", entries)
    jars.write(tmp_path / "two.jar", dict(reversed(entries.items())))
    assert (tmp_path / "one.jar").read_bytes() == (tmp_path / "two.jar").read_bytes()


@pytest.mark.parametrize("name", ["META-INF/A.SF", "META-INF/a.rsa", "META-INF/x.DSA", "META-INF/y.EC", "META-INF/SIG-1"])
def test_every_kind_of_signature_is_known(tmp_path: Path, name: str) -> None:
    jars.write(tmp_path / "x.jar", {name: b""})
    assert jars.is_signed(tmp_path / "x.jar")


def test_a_signature_elsewhere_is_only_a_file(tmp_path: Path) -> None:
    jars.write(tmp_path / "x.jar", {"META-INF/more/A.SF": b"", "B.RSA": b""})
    assert not jars.is_signed(tmp_path / "x.jar")
