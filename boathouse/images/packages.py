"""What is installed in an image, by its package data bases: dpkg, apk, Python, R, npm, and jars by their names.

Read from the files of an archive (`ArchiveView`); nothing is executed. The bill of materials, the scan and the comparison of two
images work with what is found here. RPM's data base is not read: the images that have one are named.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Protocol

from boathouse.images.findings import ImageView

LONGEST_DATABASE = 32 << 20
LONGEST_METADATA = 1 << 20


@dataclass(frozen=True, order=True)
class Package:
    """One installed package. `kind` is a package URL's type (`deb`, `apk`, `pypi`, `cran`, `npm`, `maven`), `namespace` its
    distribution or scope, `place` the file that says so, `layer` the layer that brought it (from 0), `licenses` as it says."""

    kind: str
    name: str
    version: str
    namespace: str = ""
    architecture: str = ""
    place: str = ""
    layer: int = 0
    licenses: tuple[str, ...] = ()

    @property
    def purl(self) -> str:
        """Its package URL."""
        from packageurl import PackageURL

        qualifiers = {"arch": self.architecture} if self.architecture else None
        return PackageURL(self.kind, self.namespace or None, self.name, self.version, qualifiers).to_string()


class ListedView(ImageView, Protocol):
    """An image whose files can be listed."""

    def files(self) -> Iterator[tuple[str, int]]:
        """The path of every file, and the layer that it is from."""
        ...


#: Files that are read here: a view that passes over layers keeps them.
READ = re.compile(
    r"(?:\./)?(?:var/lib/dpkg/status(?:\.d/[^/]+)?|lib/apk/db/installed|usr/lib/apk/db/installed"
    r"|.*\.dist-info/METADATA|.*\.egg-info/PKG-INFO|.*/(?:site-)?library/[^/]+/DESCRIPTION|.*/node_modules/(?:@[^/]+/)?[^/]+/package\.json)"
)
_RPM = re.compile(r"/(?:var|usr)/lib/(?:sysimage/)?rpm/(?:rpmdb\.sqlite|Packages(?:\.db)?)")
_JAR = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_.-]*?)-(?P<version>\d[A-Za-z0-9_.+-]*?)\.jar")


@dataclass(frozen=True)
class Inventory:
    """`packages`, sorted; `unread`: data bases that are there and are not read."""

    packages: tuple[Package, ...]
    unread: tuple[str, ...] = ()


def inventory(view: ListedView) -> Inventory:
    """Everything that is installed. Files that are not what their name says are left out."""
    distribution = _distribution(view)
    found: dict[tuple[str, str, str, str], Package] = {}
    unread = []
    for path, layer in view.files():
        if _RPM.fullmatch(path):
            unread.append(path)
        for package in _in_file(view, path, layer, distribution):
            found.setdefault((package.kind, package.namespace, package.name, package.version), package)
    return Inventory(tuple(sorted(found.values())), tuple(sorted(unread)))


def _in_file(view: ListedView, path: str, layer: int, distribution: str) -> Iterable[Package]:
    relative = path.lstrip("/")
    if relative.endswith(".jar"):
        named = _JAR.fullmatch(path.rpartition("/")[2])
        return [Package("maven", named["name"], named["version"], place=path, layer=layer)] if named else []
    if READ.fullmatch(relative) is None:
        return []
    reader = next(reader for ending, reader in _READERS if re.search(ending, path))
    limit = LONGEST_DATABASE if "/lib/" in path and ("dpkg" in path or "apk" in path) else LONGEST_METADATA
    text = view.read(path, limit).decode("utf-8", "replace")
    return reader(text, path, layer, distribution)


def _distribution(view: ImageView) -> str:
    try:
        text = view.read("/etc/os-release", 16 << 10).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return next((line[3:].strip("\"' ") for line in text.splitlines() if line.startswith("ID=")), "")


def _dpkg(text: str, path: str, layer: int, distribution: str) -> Iterator[Package]:
    from debian.deb822 import Packages

    for stanza in Packages.iter_paragraphs(text.encode(), use_apt_pkg=False):
        if " installed" in stanza.get("Status", "install ok installed") and stanza.get("Package") and stanza.get("Version"):
            name, version, architecture = stanza["Package"], stanza["Version"], stanza.get("Architecture", "")
            yield Package("deb", name, version, distribution or "debian", architecture, path, layer)


def _apk(text: str, path: str, layer: int, distribution: str) -> Iterator[Package]:
    for stanza in text.split("\n\n"):
        says = {line[0]: line[2:] for line in reversed(stanza.splitlines()) if line[1:2] == ":"}
        if says.get("P") and says.get("V"):
            licenses = (says["L"],) if says.get("L") else ()
            yield Package("apk", says["P"], says["V"], distribution or "alpine", says.get("A", ""), path, layer, licenses)


def _python(text: str, path: str, layer: int, distribution: str) -> Iterator[Package]:
    says = HeaderParser().parsestr(text)
    name, version = says.get("Name", "").strip(), says.get("Version", "").strip()
    if name and version:
        license_ = (says.get("License-Expression") or says.get("License") or "").strip().split("\n")[0][:100]
        name = re.sub(r"[-_.]+", "-", name).lower()  # as PyPI compares names
        yield Package("pypi", name, version, place=path, layer=layer, licenses=(license_,) if license_ else ())


def _r(text: str, path: str, layer: int, distribution: str) -> Iterator[Package]:
    says = HeaderParser().parsestr(text)
    if says.get("Package") and says.get("Version"):
        license_ = " ".join(says.get("License", "").split())
        yield Package("cran", says["Package"], says["Version"], place=path, layer=layer, licenses=(license_,) if license_ else ())


def _npm(text: str, path: str, layer: int, distribution: str) -> Iterator[Package]:
    try:
        says = json.loads(text)
    except (ValueError, RecursionError):
        return
    name, version = (says.get("name"), says.get("version")) if isinstance(says, dict) else (None, None)
    if isinstance(name, str) and isinstance(version, str) and name and version:
        scope, _, short = name.rpartition("/")
        license_ = says.get("license")
        licenses = (license_,) if isinstance(license_, str) else ()
        yield Package("npm", short, version, scope, place=path, layer=layer, licenses=licenses)


_READERS: tuple[tuple[str, Callable[[str, str, int, str], Iterator[Package]]], ...] = (
    (r"/dpkg/", _dpkg), (r"/apk/db/installed$", _apk), (r"/(?:METADATA|PKG-INFO)$", _python), (r"/DESCRIPTION$", _r),
    (r"/package\.json$", _npm),
)  # fmt: skip
