"""`boathouse image init` into places that cannot be."""

import pytest

from boathouse.cli import main


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys, place):
    (tmp_path / "file").write_text("mine")
    assert main(["image", "init", str(tmp_path / place)]) == 1
    assert f"{tmp_path / place}: " in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
