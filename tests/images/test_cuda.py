"""CUDA of an image against a node's driver and GPU, and libraries that were built with another, or without."""

import pytest

from boathouse.images.check import check
from boathouse.images.findings import Severity, Wanted
from tests.images.fake_view import image

SITE = "/databricks/python3/lib/python3.11/site-packages"
A10 = {"cuda_driver": "550.54.15", "compute_capability": "8.6"}


def torch(cuda: str) -> dict[str, bytes | str]:
    text = f"from typing import Optional\n__version__ = '2.4.1'\ndebug = False\ncuda: Optional[str] = {cuda}\n"
    return {f"{SITE}/torch/version.py": text.encode()}


def tensorflow(text: bytes) -> dict[str, bytes | str]:
    return {f"{SITE}/tensorflow/python/platform/build_info.py": text}


@pytest.mark.parametrize(
    ("cuda", "node", "code", "severity", "said"),
    [
        ("12.4.1", A10, None, None, ""),
        ("12.4.1", {"cuda_driver": "470.82.01"}, "cuda.driver", Severity.ERROR, "525.60.13 is needed"),
        ("12.6.77", A10, "cuda.minor", Severity.WARNING, "12.6.77 came with 560.28.03"),
        ("13.0.0", A10, "cuda.driver", Severity.ERROR, "580.65.06 is needed"),
        ("14.0", A10, "cuda.unknown", Severity.INFO, "CUDA_VERSION=14.0"),
        ("12.1.105", {"cuda_driver": "535.54.03", "compute_capability": "3.7"}, "cuda.capability", Severity.ERROR, "5.0 to 9.0"),
        ("11.8.89", {"cuda_driver": "535.54.03", "compute_capability": "3.7"}, None, None, ""),
        ("12.4.1", {"cuda_driver": "570.86", "compute_capability": "12.0"}, "cuda.capability", Severity.WARNING, "5.0 to 9.0"),
        ("12.8.0", {"cuda_driver": "570.86", "compute_capability": "12.0"}, None, None, ""),
        ("13.0.0", {"cuda_driver": "580.65.06", "compute_capability": "7.0"}, "cuda.capability", Severity.ERROR, "7.5 to 12.1"),
        ("12.4.1", {}, "cuda.unused", Severity.INFO, "CUDA_VERSION=12.4.1"),
    ],
)
def test_the_images_cuda(cuda: str, node: dict, code: str | None, severity: Severity | None, said: str) -> None:
    found = [each for each in check(image(env={"CUDA_VERSION": cuda}), Wanted(**node)).findings if each.code.startswith("cuda.")]
    assert [(each.code, each.severity) for each in found] == ([(code, severity)] if code else [])
    assert all(said in each.evidence for each in found)


@pytest.mark.parametrize(
    ("files", "code", "severity"),
    [
        (torch("None"), "cuda.torch", Severity.WARNING),
        (torch("'12.1'"), None, None),
        (torch("'12.8'"), "cuda.minor", Severity.WARNING),
        (torch("'13.0'"), "cuda.driver", Severity.ERROR),
        (tensorflow(b"build_info = {'is_cuda_build': False}"), "cuda.tensorflow", Severity.WARNING),
        (tensorflow(b"build_info = collections.OrderedDict([('x', 1)])"), "cuda.missing", Severity.INFO),
        (tensorflow(b'build_info = {"cuda_version": "12.5.1", "is_cuda_build": True}'), "cuda.minor", Severity.WARNING),
        ({f"{SITE}/cupy/.data/_wheel.json": b'{"cuda": "13.x", "packaging": "pip"}'}, "cuda.driver", Severity.ERROR),
        ({}, "cuda.missing", Severity.INFO),
    ],
)
def test_libraries_are_asked_what_they_were_built_with(files: dict, code: str | None, severity: Severity | None) -> None:
    found = [each for each in check(image(files), Wanted(**A10)).findings if each.code.startswith("cuda.")]
    assert [(each.code, each.severity) for each in found] == ([(code, severity)] if code else [])
    assert not [each for each in check(image(files), Wanted()).findings if each.code.startswith("cuda.")], "no GPU, no word"


@pytest.mark.parametrize(("files", "capability", "severity"), [
    (torch("'12.1'"), "3.7", Severity.ERROR), (torch("'12.1'"), "12.0", Severity.WARNING), (torch("'12.1'"), "8.6", None),
    (tensorflow(b'build_info = {"cuda_version": "12.5.1", "is_cuda_build": True}'), "3.7", Severity.ERROR),
    (tensorflow(b'build_info = {"cuda_version": "12", "is_cuda_build": True}'), "3.7", None), (torch("'12.1'"), "", None),
])  # fmt: skip
def test_a_library_is_asked_for_its_gpus_where_the_image_says_no_cuda(
    files: dict, capability: str, severity: Severity | None
) -> None:
    wanted = Wanted(cuda_driver="580.65.06", compute_capability=capability)
    found = [each for each in check(image(files), wanted).findings if each.code == "cuda.capability"]
    assert [each.severity for each in found] == ([severity] if severity else [])
    assert all(" of the image's " in each.message and each.evidence and each.fix for each in found)


def test_what_the_image_says_is_not_said_again_of_its_torch() -> None:
    found = check(image(torch("'13.0'"), env={"CUDA_VERSION": "13.0.1"}), Wanted(**A10)).findings
    assert [each.code for each in found if each.code.startswith("cuda.")] == ["cuda.driver"]
