"""`boathouse image keys` writes both halves of a pair, or neither."""

import pytest

from boathouse.cli import main


@pytest.mark.parametrize("there", ["key", "pub"])
def test_no_half_of_a_pair_is_left(tmp_path, monkeypatch, capsys, there):
    monkeypatch.setenv("COSIGN_PASSWORD", "secret")
    held = tmp_path / f"k.{there}"
    held.write_text("mine")
    assert main(["image", "keys", "--prefix", str(tmp_path / "k")]) == 1
    assert f"{held}: it exists; give another --prefix" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [held] and held.read_text() == "mine"
