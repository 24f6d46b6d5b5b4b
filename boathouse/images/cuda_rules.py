"""What the check says of an image made for NVIDIA's GPUs: does its CUDA run on the node's driver and GPU, do libraries use it?

One of the rooms of `check.py`; pure over an `ImageView`. Where the numbers belong to: NVIDIA's CUDA compatibility guide (minor
version compatibility: the oldest Linux driver of each major version) and the toolkit's release notes (the driver that each
version came with; which compute capabilities its compilers know). They were written down without these pages at hand and are
not compared with them yet. What libraries were built with, PyTorch, TensorFlow and CuPy say in files of theirs.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from boathouse.images.findings import Finding, ImageView, Wanted, error, info, numbers, warning

_OLDEST_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
#: The driver that a toolkit came with: an older one runs what is compiled, but not what a newer compiler makes at run time (PTX).
_OWN_DRIVER: dict[tuple[int, ...], str] = {
    (11, 0): "450.51.05", (11, 1): "455.23", (11, 2): "460.27.03", (11, 3): "465.19.01", (11, 4): "470.42.01",
    (11, 5): "495.29.05", (11, 6): "510.39.01", (11, 7): "515.43.04", (11, 8): "520.61.05", (12, 0): "525.60.13",
    (12, 1): "530.30.02", (12, 2): "535.54.03", (12, 3): "545.23.06", (12, 4): "550.54.14", (12, 5): "555.42.02",
    (12, 6): "560.28.03", (12, 8): "570.26", (12, 9): "575.51.03", (13, 0): "580.65.06",
}  # fmt: skip
#: From a version of CUDA on: the oldest and the newest compute capability that its compilers and libraries are made for.
_CAPABILITIES = (
    ((11, 0), "3.5", "8.0"), ((11, 1), "3.5", "8.6"), ((11, 8), "3.5", "9.0"), ((12, 0), "5.0", "9.0"), ((12, 8), "5.0", "12.0"),
    ((13, 0), "7.5", "12.1"),
)  # fmt: skip
_NUMBER = re.compile(r"\d{1,2}(?:\.\d{1,3}){1,2}")


class _Library(msgspec.Struct, frozen=True):
    """A library that brings, or wants, CUDA. A file below site-packages says so: `cuda` finds its CUDA in it (`12.1`), `cpu` that
    it was built without."""

    name: str
    file: str
    cuda: re.Pattern[str]
    cpu: re.Pattern[str] | None
    fix: str


_LIBRARIES = (
    _Library(
        "torch",
        "torch/version.py",
        re.compile(r"^cuda\b[^=]*=\s*'(\d+\.\d+)'", re.MULTILINE),
        re.compile(r"^cuda\b[^=]*=\s*None", re.MULTILINE),
        "pip install torch --index-url https://download.pytorch.org/whl/cu121",
    ),
    _Library(
        "tensorflow",
        "tensorflow/python/platform/build_info.py",
        re.compile(r"""['"]cuda_version['"]\s*:\s*['"](\d+(?:\.\d+)?)"""),
        re.compile(r"""['"]is_cuda_build['"]\s*:\s*False"""),
        "pip install 'tensorflow[and-cuda]'",
    ),
    _Library(
        "cupy",
        "cupy/.data/_wheel.json",
        re.compile(r"""['"]cuda['"]\s*:\s*['"](\d+(?:\.\d+)?)"""),
        None,
        "pip install cupy-cuda12x",
    ),
)


def judge(view: ImageView, wanted: Wanted, places: Sequence[str] = ()) -> Iterator[Finding]:
    """Findings about CUDA; none for an image without it. `places`: where its Python looks for packages."""
    version, evidence = _cuda(view)
    libraries = list(_built(view, places))
    if not wanted.cuda_driver:
        if version:
            message = f"The image brings CUDA {version}; the node has no GPU, so its programs run without."
            yield info("cuda.unused", message, evidence)
        return
    if version:
        yield from _driver(version, "The image's CUDA", evidence, wanted)
        yield from _capability(version, f"the image's CUDA {version}", evidence, wanted)
    for library, cuda, path in libraries:
        if not cuda:
            message = f"The image's {library.name} was built without CUDA: it does not use the node's GPU."
            yield warning(f"cuda.{library.name}", message, path, library.fix)
        elif numbers(cuda)[:2] != numbers(version)[:2]:  # otherwise it has been said
            yield from _driver(cuda, f"The CUDA of the image's {library.name},", path, wanted)
            yield from _capability(cuda, f"the CUDA {cuda} of the image's {library.name}", path, wanted)
    if not version and not libraries:
        message = "The node has a GPU, and nothing of CUDA was found in the image."
        yield info("cuda.missing", message, "", "Start from a base with CUDA (boathouse image list-bases: gpu).")


def _driver(version: str, what: str, evidence: str, wanted: Wanted) -> Iterator[Finding]:
    needed, own = _OLDEST_DRIVER.get(numbers(version)[0]), _OWN_DRIVER.get(numbers(version)[:2])
    has = numbers(wanted.cuda_driver)
    if needed is None:
        yield info("cuda.unknown", f"{what} is {version}, of which the oldest driver is not known here.", evidence)
    elif has < numbers(needed):
        yield error(
            "cuda.driver",
            f"{what} {version} needs a newer NVIDIA driver than the node has.",
            f"{evidence}; driver {wanted.cuda_driver}, {needed} is needed",
            f"Update the node's driver, or build the image with an older CUDA than {numbers(version)[0]}.",
        )
    elif own and has < numbers(own):
        yield warning(
            "cuda.minor",
            f"{what} {version} is newer than the node's driver: what is compiled at run time (PTX, NVRTC) does not run.",
            f"{evidence}; driver {wanted.cuda_driver}, {version} came with {own}",
            "Update the node's driver, or use the CUDA that came with it.",
        )


def _capability(version: str, what: str, evidence: str, wanted: Wanted) -> Iterator[Finding]:
    known = [entry for entry in _CAPABILITIES if entry[0] <= numbers(version)[:2]]
    if not known or not wanted.compute_capability or len(numbers(version)) < 2:  # `12` may be any of its minors
        return
    _, oldest, newest = known[-1]
    here = numbers(wanted.compute_capability)
    said = f"{evidence}; compute capability {wanted.compute_capability}, CUDA {version} is made for {oldest} to {newest}"
    if here < numbers(oldest):
        fix = "Use a base with an older CUDA, or a newer GPU."
        yield error("cuda.capability", f"The node's GPU is too old for {what}.", said, fix)
    elif here > numbers(newest):
        message = f"The node's GPU is newer than {what}: only programs with PTX run, after compiling it."
        yield warning("cuda.capability", message, said, "Use a base with a newer CUDA.")


def _built(view: ImageView, places: Sequence[str]) -> Iterator[tuple[_Library, str, str]]:
    """Each library that is there, the CUDA that it was built with (empty: without), and where it says so."""
    for library in _LIBRARIES:
        for path in (f"{place}/{library.file}" for place in places):
            try:
                text = view.read(path, 64 << 10).decode("utf-8", "replace")
            except FileNotFoundError:
                continue
            if found := library.cuda.search(text):
                yield library, found[1], path
            elif library.cpu and library.cpu.search(text):
                yield library, "", path
            break


def _cuda(view: ImageView) -> tuple[str, str]:
    """The version of the image's CUDA and where it stands, or two empty texts."""
    said = view.config.environment.get("CUDA_VERSION", "")
    if _NUMBER.fullmatch(said):
        return said, f"CUDA_VERSION={said}"
    try:
        text = view.read("/usr/local/cuda/version.json", 64 << 10).decode("utf-8", "replace")
    except FileNotFoundError:
        return "", ""
    found = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"(\d{1,2}(?:\.\d{1,3}){1,2})"', text)
    return (found.group(1), "/usr/local/cuda/version.json") if found else ("", "")
