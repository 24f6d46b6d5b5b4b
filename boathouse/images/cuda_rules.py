"""What the check says of an image made for NVIDIA's GPUs: does its CUDA run on the node's driver?

One of the rooms of `check.py`; pure over an `ImageView`. Source: NVIDIA's CUDA compatibility guide, minor version compatibility:
the oldest Linux driver of each major version of CUDA.
"""

import re
from collections.abc import Iterator

from boathouse.images.findings import Finding, ImageView, Wanted, error, info, numbers

_OLDEST_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


def judge(view: ImageView, wanted: Wanted) -> Iterator[Finding]:
    """Findings about CUDA; none for an image without it."""
    version, evidence = _cuda(view)
    if not version:
        return
    if not wanted.cuda_driver:
        yield info("cuda.unused", f"The image brings CUDA {version}; the node has no GPU, so its programs run without.", evidence)
        return
    needed = _OLDEST_DRIVER.get(numbers(version)[0])
    if needed is None:
        yield info("cuda.unknown", f"The image brings CUDA {version}, of which the oldest driver is not known here.", evidence)
    elif numbers(wanted.cuda_driver) < numbers(needed):
        yield error(
            "cuda.driver",
            f"The image's CUDA {version} needs a newer NVIDIA driver than the node has.",
            f"{evidence}; driver {wanted.cuda_driver}, {needed} is needed",
            f"Update the node's driver, or build the image with an older CUDA than {numbers(version)[0]}.",
        )


def _cuda(view: ImageView) -> tuple[str, str]:
    """The version of the image's CUDA and where it stands, or two empty texts."""
    said = view.config.environment.get("CUDA_VERSION", "")
    if re.fullmatch(r"\d{1,2}(\.\d{1,3}){1,2}", said):
        return said, f"CUDA_VERSION={said}"
    try:
        text = view.read("/usr/local/cuda/version.json", 64 << 10).decode("utf-8", "replace")
    except FileNotFoundError:
        return "", ""
    found = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"(\d{1,2}(?:\.\d{1,3}){1,2})"', text)
    return (found.group(1), "/usr/local/cuda/version.json") if found else ("", "")
