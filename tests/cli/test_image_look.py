"""`boathouse image check|diff` through the command: for which runtime, and what cannot be meant is refused by name."""

import json

import pytest

from boathouse.cli import main
from tests.images.labelled import GOOD
from tests.images.test_labelled import opened


@pytest.fixture
def image(tmp_path):
    """A good image as an OCI folder, and words for a machine that has no release."""
    opened(tmp_path / "image", GOOD[0])
    return [f"--cache={tmp_path / 'cache'}", str(tmp_path / "image")]


def checked(image, capsys, *words):
    cache, folder = image
    code = main(["image", "--output", "json", cache, "check", folder, *words])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {}, told.err


@pytest.mark.parametrize(("said", "key", "spark", "scala"), [
    ("17.3", "17.3.x-scala2.13", "4.0.5", "2.13"), ("17.3-lts", "17.3.x-scala2.13", "4.0.5", "2.13"),
    ("15.4 LTS", "15.4.x-scala2.12", "3.5.7", "2.12"), ("18.0.x", "18.0.x-scala2.13", "4.1.4", "2.13"),
    ("16.4.x-scala2.12", "16.4.x-scala2.12", "3.5.7", "2.12"),
])  # fmt: skip
def test_an_image_is_checked_for_the_runtime_that_is_said_though_it_is_not_built(image, capsys, said, key, spark, scala):
    code, document, told = checked(image, capsys, "--runtime", said)
    assert code == 0 and document["runtime"] == {"key": key, "spark": spark, "scala": scala, "java": "17", "glibc": ""}
    assert "the oldest glibc that its Java runs on is not known" in told and f"boathouse release build {key}" in told


@pytest.mark.parametrize(("words", "told"), [
    (["--runtime", "9.1"], "--runtime: no runtime '9.1'; there are: 18.0.x-scala2.13, 17.3.x-scala2.13"),
    (["--runtime", "18.0-lts"], "--runtime: no runtime '18.0-lts'"),
    (["--runtime", "16.4"], "'16.4' is more than one runtime; give one of: 16.4.x-scala2.13, 16.4.x-scala2.12"),
    (["--cuda-driver", "abc"], "--cuda-driver: 'abc' is no version; give one such as 550.54.15"),
    (["--cuda-driver", "550.54.15", "--compute-capability", "x"], "'x' is no version; give one such as 8.6"),
    (["--compute-capability", "8.6"], "give --cuda-driver"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(image, capsys, words, told):
    code, document, said = checked(image, capsys, *words)
    assert code == 1 and document == {} and told in said


def test_a_comparison_is_for_a_runtime_too(image, capsys):
    cache, folder = image
    assert main(["image", cache, "diff", folder, folder, "--runtime", "9.1"]) == 1
    assert "--runtime: no runtime '9.1'" in capsys.readouterr().err
    assert main(["image", cache, "diff", folder, folder, "--runtime", "15.4"]) == 0
    assert "nothing that a cluster could notice" in capsys.readouterr().out


def test_a_folder_is_begun_for_a_runtime_in_short(tmp_path, capsys):
    assert main(["image", "init", str(tmp_path / "mine"), "--runtime", "17.3-LTS"]) == 0
    assert "17.3.x-scala2.13" in (tmp_path / "mine/.github/workflows/image.yml").read_text()
    assert main(["image", "init", str(tmp_path / "other"), "--runtime", "1.0"]) == 1
    assert "--runtime: no runtime '1.0'" in capsys.readouterr().err and not (tmp_path / "other").exists()
