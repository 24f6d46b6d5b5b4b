"""What the check says of an image's Python: its place, its age, and the packages that PySpark meets in it.

One of the rooms of `check.py`; pure over an `ImageView`: versions are read from the packages' own files, no directory is listed.
Sources: PySpark's `sql/pandas/utils.py` (oldest versions), its release notes (newest), Databricks' container guide (no pyspark).
"""

import re
from collections.abc import Iterator

import msgspec

from boathouse.images import languages
from boathouse.images.findings import Finding, ImageView, Kind, PythonFacts, Wanted, error, info, numbers, warning
from boathouse.images.languages import DATABRICKS_PYTHON

#: Where a package's own version stands, below its directory.
_VERSION_FILES = {
    "numpy": ("version.py", "_version.py"),
    "pandas": ("_version_meson.py", "_version.py"),
    "pyarrow": ("_generated_version.py",),
    "pyspark": ("version.py",),
}
_VERSION = re.compile(r"""(?:version|__version__|"version")['"]?\s*[:=]\s*['"](\d+(?:\.\d+)+)""")
_LONGEST = 64 << 10


class _Fits(msgspec.Struct, frozen=True):
    """Versions of a package that a Spark works with: from `oldest`, below `newest` (empty: no limit known)."""

    oldest: str
    newest: str = ""

    def __contains__(self, version: str) -> bool:
        here = numbers(version)
        return here >= numbers(self.oldest) and not (self.newest and here >= numbers(self.newest))

    def __str__(self) -> str:
        return f"{self.oldest} or later" + (f", below {self.newest}" if self.newest else "")


#: By the first two numbers of Spark: what its `pandas/utils.py` asks for, and what is known to break it.
_PACKAGES: dict[tuple[int, ...], dict[str, _Fits]] = {
    (3, 4): {"pandas": _Fits("1.0.5", "2.0"), "pyarrow": _Fits("1.0.0"), "numpy": _Fits("1.15", "2.0")},
    (3, 5): {"pandas": _Fits("1.0.5", "3.0"), "pyarrow": _Fits("4.0.0"), "numpy": _Fits("1.15", "2.0")},
    (4, 0): {"pandas": _Fits("2.0.0", "3.0"), "pyarrow": _Fits("11.0.0"), "numpy": _Fits("1.21")},
    (4, 1): {"pandas": _Fits("2.2.0", "3.0"), "pyarrow": _Fits("15.0.0"), "numpy": _Fits("1.22")},
}


def judge(view: ImageView, wanted: Wanted) -> tuple[PythonFacts | None, str, list[Finding]]:
    """The Python that commands can use, why there is none, and what was found about it.

    No Python is no error (Databricks' `minimal` has none) unless it is wanted: contexts are refused with the reason."""
    found = languages.python(view)
    oldest = ".".join(map(str, wanted.oldest_python))
    refuse = error if "python" in wanted.languages else warning
    if found is None:
        reason = f"The image has no Python: neither {DATABRICKS_PYTHON}/bin/python3 nor a python3 in its PATH."
        fix = f"Install Python {oldest} or later and make {DATABRICKS_PYTHON} a virtual environment of it."
        broken = view.lookup(DATABRICKS_PYTHON) is not None
        make = refuse if broken or refuse is error else info
        evidence = f"{DATABRICKS_PYTHON} is there without a usable bin/python3" if broken else ""
        return None, reason, [make("python.missing", f"{reason} Python commands will be refused.", evidence, fix)]
    if not found.version or numbers(found.version)[:2] < wanted.oldest_python:
        version = f"Python {found.version}" if found.version else "a Python of unknown version"
        reason = f"The image's {found.path} is {version}; Spark {wanted.spark} needs {oldest} or later."
        evidence, fix = f"{found.path}, {version}", f"Install Python {oldest} or later."
        return None, reason, [refuse("python.version", f"{reason} Python commands will be refused.", evidence, fix)]
    findings = [info("python.found", "Python commands run in the image's own Python.", f"{found.path}, {found.version}")]
    if not found.path.startswith(DATABRICKS_PYTHON):
        fix = f"Databricks expects a virtual environment there: virtualenv --system-site-packages {DATABRICKS_PYTHON}."
        message = f"There is no {DATABRICKS_PYTHON}: the python3 of the PATH is used."
        findings.append(warning("python.place", message, found.path, fix))
    return found, "", [*findings, *_packages(view, found, wanted)]


def _packages(view: ImageView, python: PythonFacts, wanted: Wanted) -> Iterator[Finding]:
    places = _site_packages(view, python)
    if _place_of(view, places, "pip") is None:
        yield warning(
            "python.pip",
            "The image's Python has no pip: libraries cannot be installed, nor can %pip.",
            f"no pip in {', '.join(places[:3])}",
            "apt-get install python3-pip, or virtualenv without --no-pip.",
        )
    fits = _PACKAGES.get(numbers(wanted.spark)[:2], {})
    for name, range_ in fits.items():
        version = _version(view, places, name)
        if version and version not in range_:
            yield warning(
                f"python.{name}",
                f"The image's {name} does not fit Spark {wanted.spark}: conversions between Spark and {name} may fail.",
                f"{name} {version}; Spark {wanted.spark} works with {range_}",
                f"pip install '{name}>={range_.oldest}" + (f",<{range_.newest}'" if range_.newest else "'"),
            )
    version = _version(view, places, "pyspark")
    if version or _place_of(view, places, "pyspark"):
        yield warning(
            "python.pyspark",
            "The image brings a pyspark of its own, which is not used: the runtime's comes first.",
            f"pyspark {version or 'of unknown version'}; the runtime's is {wanted.spark}",
            "Leave it out: it takes 400 MB and confuses tools that read versions.",
        )


def places(view: ImageView, python: PythonFacts | None) -> list[str]:
    """Where the image's Python looks for packages; none without Python."""
    return _site_packages(view, python) if python else []


def _site_packages(view: ImageView, python: PythonFacts) -> list[str]:
    """Where this Python looks for packages, in its order; of a virtual environment those of its base too."""
    minor = ".".join(python.version.split(".")[:2])
    prefix = python.path.rpartition("/bin/")[0]
    own = f"{prefix}/lib/python{minor}/site-packages"
    system = [
        f"/usr/local/lib/python{minor}/site-packages",
        f"/usr/local/lib/python{minor}/dist-packages",
        "/usr/lib/python3/dist-packages",
    ]
    if not python.virtual_environment:
        return list(dict.fromkeys([own, f"{prefix}/lib/python{minor}/dist-packages", *system]))
    configured = languages.venv_configuration(view, prefix)
    if configured.get("include-system-site-packages", "false").lower() != "true":
        return [own]
    base = configured.get("base-prefix") or configured.get("home", "").removesuffix("/bin")
    return list(dict.fromkeys([own, *([f"{base}/lib/python{minor}/site-packages"] if base.startswith("/") else []), *system]))


def _place_of(view: ImageView, places: list[str], package: str) -> str | None:
    for place in places:
        found = view.lookup(f"{place}/{package}/__init__.py")
        if found is not None and found.kind is Kind.FILE:
            return f"{place}/{package}"
    return None


def _version(view: ImageView, places: list[str], package: str) -> str:
    """The version of an installed package, empty where it is not there or does not say."""
    place = _place_of(view, places, package)
    if place is None:
        return ""
    for name in _VERSION_FILES[package]:
        try:
            text = view.read(f"{place}/{name}", _LONGEST).decode("utf-8", "replace")
        except FileNotFoundError:
            continue
        if said := _VERSION.search(text):
            return said.group(1)
    return ""
