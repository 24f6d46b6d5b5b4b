"""What is installed in an image, by its package data bases: dpkg, apk, RPM, Python, R, npm and jars.

Read from the files of an archive (`ArchiveView`); nothing is executed. The bill of materials, the scan and the comparison of two
images work with what is found here. What cannot be read is named.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from boathouse.images import rpm_database
from boathouse.images.findings import ImageView

if TYPE_CHECKING:
    from email.message import Message

LONGEST_DATABASE = 32 << 20
MOST_PACKAGES = 100_000
MOST_UNREAD = 100
MOST_READ_AGAIN = 16  # files that were not kept: each costs another pass through its layer
LONGEST_METADATA = 1 << 20


class Package(msgspec.Struct, frozen=True, order=True):
    """One installed package. `kind` is a package URL's type (`deb`, `apk`, `rpm`, `pypi`, `cran`, `npm`, `maven`), `namespace`
    its distribution, scope or group, `place` the file that says so, `layer` the layer that brought it (from 0), `licenses` as it
    says, `source` and `source_version` the source package where it differs, `release` the distribution's version."""

    kind: str
    name: str
    version: str
    namespace: str = ""
    architecture: str = ""
    place: str = ""
    layer: int = 0
    licenses: tuple[str, ...] = ()
    source: str = ""
    source_version: str = ""
    release: str = ""

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

    def layer_of(self, path: str, otherwise: int) -> int:
        """The layer that a file is from; `otherwise` where there is no such file."""
        ...

    def at_hand(self, path: str) -> bool:
        """Whether reading this file is cheap."""
        ...

    def artifacts(self, path: str) -> tuple[tuple[str, str, str], ...] | str:
        """Group, artifact and version of what Maven put into a jar, or why it cannot be read."""
        ...


#: Files that are read here: a view that passes over layers keeps them.
READ = re.compile(
    r"(?:\./)?(?:var/lib/dpkg/status(?:\.d/[^/]+)?|lib/apk/db/installed|usr/lib/apk/db/installed"
    r"|.*\.dist-info/METADATA|.*\.egg-info/PKG-INFO|.*/(?:site-)?library/[^/]+/DESCRIPTION|.*/node_modules/(?:@[^/]+/)?[^/]+/package\.json"
    r"|(?:var|usr)/lib/(?:sysimage/)?rpm/(?:rpmdb\.sqlite|Packages(?:\.db)?))"
)
_JAR = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_.-]*?)-(?P<version>\d[A-Za-z0-9_.+-]*?)\.jar")


class Inventory(msgspec.Struct, frozen=True):
    """`packages`, sorted; `unread`: data bases that are there and are not read, or not wholly; `reasons` says why."""

    packages: tuple[Package, ...]
    unread: tuple[str, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()


class Distribution(msgspec.Struct, frozen=True):
    """What `/etc/os-release` says: the ID, and the version (`12`, `22.04`, `3.19.1`)."""

    name: str = ""
    release: str = ""


class _Source(msgspec.Struct, frozen=True):
    """A file that lists packages, and the image that it is in."""

    view: "ListedView"
    path: str
    layer: int
    distribution: Distribution

    def layer_of(self, path: str) -> int:
        """The layer that brought another file: a data base is rewritten by each layer that installs something."""
        return self.view.layer_of(path, self.layer)


class _Unreadable(ValueError):
    """Why a data base cannot be read, or not to its end."""


def inventory(view: ListedView) -> Inventory:
    """Everything that is installed. Files that are not what their name says are left out; what is bounded away is named."""
    distribution = _distribution(view)
    found: dict[tuple[str, str, str, str], Package] = {}
    unread: dict[str, str] = {}
    again = 0
    for path, layer in view.files():
        if READ.fullmatch(path.lstrip("/")) is None and not path.endswith(".jar"):
            continue
        again += not path.endswith(".jar") and not view.at_hand(path)
        try:
            if again > MOST_READ_AGAIN:
                raise _Unreadable("the image has too many or too large data bases of packages")
            for package in _in_file(_Source(view, path, layer, distribution)):
                if len(found) >= MOST_PACKAGES:
                    raise _Unreadable(f"the image has more than {MOST_PACKAGES} packages")
                found.setdefault((package.kind, package.namespace, package.name, package.version), package)
        except _Unreadable as reason:
            if len(unread) < MOST_UNREAD:
                unread[path] = str(reason)
    return Inventory(tuple(sorted(found.values())), tuple(sorted(unread)), tuple(sorted(unread.items())))


def _in_file(source: _Source) -> Iterable[Package]:
    path = source.path
    if path.endswith(".jar"):
        yield from _jar(source)
        return
    reader, limit = next((reader, limit) for ending, reader, limit in _READERS if re.search(ending, path))
    data = source.view.read(path, limit)
    yield from reader(data, source)
    entry = source.view.lookup(path)
    if entry is not None and entry.size > limit:
        raise _Unreadable(f"it is larger than {limit >> 20} MiB, and was read up to there")


def _distribution(view: ImageView) -> Distribution:
    try:
        text = view.read("/etc/os-release", 16 << 10).decode("utf-8", "replace")
    except FileNotFoundError:
        return Distribution()
    says = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    name, release = (says.get(key, "").strip("\"' ")[:100] for key in ("ID", "VERSION_ID"))
    return Distribution(name, release)


def _stanzas(data: bytes) -> Iterator[bytes]:
    """The paragraphs of a data base, one at a time. Raises _Unreadable for one too long, or too many."""
    start = count = 0
    while start < len(data):
        end = data.find(b"\n\n", start)
        end = len(data) if end < 0 else end
        if end - start > LONGEST_METADATA:
            raise _Unreadable(f"an entry of it is longer than {LONGEST_METADATA >> 20} MiB")
        count += 1
        if count > MOST_PACKAGES:
            raise _Unreadable(f"it has more than {MOST_PACKAGES} entries")
        if data[start:end].strip():
            yield data[start:end]
        start = end + 2


def _dpkg(data: bytes, source: _Source) -> Iterator[Package]:
    from debian.deb822 import Deb822

    for stanza in _stanzas(data):
        says = Deb822(stanza.decode("utf-8", "replace"))
        name, version, architecture = (says.get(key, "").strip() for key in ("Package", "Version", "Architecture"))
        if " installed" not in says.get("Status", "install ok installed") or not name or not version:
            continue
        origin, _, origin_version = says.get("Source", "").partition("(")
        layer = source.layer
        for listed in (f"/var/lib/dpkg/info/{name}:{architecture}.list", f"/var/lib/dpkg/info/{name}.list"):
            layer = source.layer_of(listed) if layer == source.layer else layer
        yield Package(
            "deb", name, version, source.distribution.name or "debian", architecture, source.path, layer,
            source=origin.strip(), source_version=origin_version.strip(" )"), release=source.distribution.release,
        )  # fmt: skip


def _apk(data: bytes, source: _Source) -> Iterator[Package]:
    for stanza in _stanzas(data):
        says: dict[str, str] = {}
        for line in stanza.decode("utf-8", "replace").splitlines():
            if line[1:2] == ":":
                says.setdefault(line[0], line[2:])
        if says.get("P") and says.get("V"):
            licenses = (says["L"],) if says.get("L") else ()
            layer = source.layer_of(f"/{says['F']}/{says['R']}") if says.get("F") and says.get("R") else source.layer
            yield Package(
                "apk", says["P"], says["V"], source.distribution.name or "alpine", says.get("A", ""), source.path, layer,
                licenses, source=says.get("o", ""), release=source.distribution.release,
            )  # fmt: skip


def _rpm(data: bytes, source: _Source) -> Iterator[Package]:
    if source.path.endswith(("/Packages", "/Packages.db")):
        raise _Unreadable("this form of RPM's data base is not read")
    try:
        for each in rpm_database.packages(data):
            layer = source.layer_of(each.first_file) if each.first_file else source.layer
            yield Package(
                "rpm", each.name, each.version, source.distribution.name, each.architecture, source.path, layer,
                (each.license,) if each.license else (), release=source.distribution.release,
            )  # fmt: skip
    except rpm_database.UnreadableDatabase as error:
        raise _Unreadable(str(error)) from None


def _jar(source: _Source) -> Iterator[Package]:
    """Its own artifacts, else what its name says."""
    found = source.view.artifacts(source.path)
    named = _JAR.fullmatch(source.path.rpartition("/")[2])
    for group, artifact, version in found if not isinstance(found, str) else ():
        yield Package("maven", artifact, version, group, place=source.path, layer=source.layer)
    if named and not any(artifact == named["name"] for _, artifact, _ in found if not isinstance(found, str)):
        yield Package("maven", named["name"], named["version"], place=source.path, layer=source.layer)
    if isinstance(found, str):
        raise _Unreadable(found)


def _headers(data: bytes) -> "Message":
    from email.parser import HeaderParser

    return HeaderParser().parsestr(data.decode("utf-8", "replace"))


def _python(data: bytes, source: _Source) -> Iterator[Package]:
    says = _headers(data)
    name, version = says.get("Name", "").strip(), says.get("Version", "").strip()
    if name and version:
        license_ = (says.get("License-Expression") or says.get("License") or "").strip().split("\n")[0][:100]
        name = re.sub(r"[-_.]+", "-", name).lower()  # as PyPI compares names
        yield Package("pypi", name, version, place=source.path, layer=source.layer, licenses=(license_,) if license_ else ())


def _r(data: bytes, source: _Source) -> Iterator[Package]:
    says = _headers(data)
    if says.get("Package") and says.get("Version"):
        license_ = " ".join(says.get("License", "").split())
        licenses = (license_,) if license_ else ()
        yield Package("cran", says["Package"], says["Version"], place=source.path, layer=source.layer, licenses=licenses)


def _npm(data: bytes, source: _Source) -> Iterator[Package]:
    try:
        says = json.loads(data)
    except (ValueError, RecursionError):
        return
    name, version = (says.get("name"), says.get("version")) if isinstance(says, dict) else (None, None)
    if isinstance(name, str) and isinstance(version, str) and name and version:
        scope, _, short = name.rpartition("/")
        license_ = says.get("license")
        licenses = (license_,) if isinstance(license_, str) else ()
        yield Package("npm", short, version, scope, place=source.path, layer=source.layer, licenses=licenses)


_READERS: tuple[tuple[str, Callable[[bytes, _Source], Iterator[Package]], int], ...] = (
    (r"/dpkg/", _dpkg, LONGEST_DATABASE), (r"/apk/db/installed$", _apk, LONGEST_DATABASE), (r"/rpm/", _rpm, LONGEST_DATABASE),
    (r"/(?:METADATA|PKG-INFO)$", _python, LONGEST_METADATA), (r"/DESCRIPTION$", _r, LONGEST_METADATA),
    (r"/package\.json$", _npm, LONGEST_METADATA),
)  # fmt: skip
