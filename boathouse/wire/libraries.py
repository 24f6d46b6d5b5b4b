"""What travels at `/api/2.0/libraries/*`; the names are the API's own."""

from boathouse.wire.base import Wire


class PyPiLibrary(Wire):
    package: str
    repo: str | None = None


class MavenLibrary(Wire):
    """`coordinates`: `group:artifact:version`. `exclusions`: `group:artifact` each."""

    coordinates: str
    repo: str | None = None
    exclusions: list[str] = []


class CranLibrary(Wire):
    package: str
    repo: str | None = None


class Library(Wire):
    """Exactly one of the fields is given. `egg` is decoded so that it can be refused with its reason."""

    jar: str | None = None
    egg: str | None = None
    whl: str | None = None
    requirements: str | None = None
    pypi: PyPiLibrary | None = None
    maven: MavenLibrary | None = None
    cran: CranLibrary | None = None


class ChangeLibraries(Wire):
    """The body of install and uninstall."""

    cluster_id: str
    libraries: list[Library]


class LibraryStatus(Wire):
    library: Library
    status: str
    messages: list[str] = []
    is_library_for_all_clusters: bool | None = None


class ClusterLibraryStatuses(Wire):
    cluster_id: str
    library_statuses: list[LibraryStatus] = []


class AllClusterLibraryStatuses(Wire):
    statuses: list[ClusterLibraryStatuses] = []


class ClusterIdQuery(Wire):
    cluster_id: str
