"""`clusters/list`: pages of the clusters that the caller may see, pinned, active, or ended less than 30 days ago.

Pages are cut by position (start time or name, then id), never by counting, so that they cost the same at the end of ten thousand
clusters as at the beginning and nothing appears twice while clusters come and go.

What a cluster looks like changes with its row's version and with nothing else, so its document is made once for each version
and then only copied into answers: a page is two or three numbers a row from the database, and bytes.
"""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, cast
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Select, and_, bindparam, select, tuple_

from boathouse.compute import access, cluster_view
from boathouse.compute.surroundings import ZONES, Surroundings
from boathouse.compute.tables import clusters
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.store import Reader, Store
from boathouse.wire.compute import ClusterDetails, ListClusters, ListClustersFilterBy, ListClustersResponse

MOST, DEFAULT = 100, 100

#: Tokens come back from clients: a number in one must fit the database.
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]

_PLACES = select(clusters.c.cluster_id, clusters.c.version, clusters.c.name, clusters.c.start_time)
_ROWS = select(*access.columns("version", *cluster_view.NEEDED)).where(
    clusters.c.cluster_id.in_(bindparam("ids", expanding=True))
)

#: Documents that are kept, of all workspaces, each of about a kilobyte; the ones made first go first.
KEPT = 20_000


class Documents:
    """What lists show of clusters, encoded, by id and version. Safe to use from many threads."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._kept: dict[str, tuple[int, msgspec.Raw]] = {}

    def of(self, reader: Reader, places: Sequence[Any], cloud: str) -> list[msgspec.Raw]:
        """The documents of `places` (rows that begin with id and version), in their order; the rows of those that are missing
        are read in the same snapshot."""
        kept = self._kept
        found: list[Any] = [kept.get(place[0]) for place in places]
        missing = [place[0] for place, document in zip(places, found, strict=True) if document is None or document[0] != place[1]]
        if missing:
            rows = reader.execute(_ROWS, {"ids": missing}).all()
            zone = ZONES[cloud][0]
            made = {row.cluster_id: (row.version, _encoded(cluster_view.details(row, cloud, zone))) for row in rows}
            self._keep(made)
            found = [made.get(place[0], document) for place, document in zip(places, found, strict=True)]
        return [document[1] for document in found if document is not None]

    def _keep(self, made: dict[str, tuple[int, msgspec.Raw]]) -> None:
        with self._guard:
            self._kept |= made
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]


def _encoded(shown: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(shown))


_documents: WeakKeyDictionary[Store, Documents] = WeakKeyDictionary()


@endpoint("GET", "/api/2.1/clusters/list", also=["/api/2.0/clusters/list"], action="clusters.list")
def list_clusters(ctx: Ctx, query: ListClusters) -> ListClustersResponse:
    """A page of clusters, the latest first; by name from A to Z when that is asked for, and the other way round."""
    size = query.page_size or DEFAULT
    if not 1 <= size <= MOST:
        raise invalid(f"page_size: {query.page_size} is not allowed; give 1 to {MOST}, or 0 for {DEFAULT}")
    by_name = query.sort_by is not None and query.sort_by.field == "CLUSTER_NAME"
    direction = (query.sort_by.direction if query.sort_by else None) or ("ASC" if by_name else "DESC")
    order = f"{'name' if by_name else 'start'} {direction}"
    back, position = _position(query.page_token, order, by_name)
    wanted = _page(ctx.caller.admin, by_name, (direction == "ASC") != back, position is not None)
    conditions = _conditions(query.filter_by)
    if conditions:
        wanted = wanted.where(*conditions)
    values: dict[str, Any] = {**access.shown_values(ctx.caller, ctx.store.clock()), "most": size + 1}
    if position is not None:
        values |= {"position_key": position[0], "position_id": position[1]}
    with ctx.read() as reader:
        cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
        rows = list(reader.execute(wanted, values).all())
        more = len(rows) > size
        rows = rows[:size]
        if back:
            rows.reverse()
        documents = _documents.setdefault(ctx.store, Documents()).of(reader, rows, cloud)
    answer = ListClustersResponse(cast(list[ClusterDetails], documents))  # as they travel
    if rows and (more or back):
        answer.next_page_token = encode_token((order, "next", _key(rows[-1], by_name), rows[-1].cluster_id))
    if rows and (more if back else position is not None):
        answer.prev_page_token = encode_token((order, "prev", _key(rows[0], by_name), rows[0].cluster_id))
    return answer


def _key(row: Any, by_name: bool) -> int | str:
    return row.name if by_name else row.start_time


def _position(token: str | None, order: str, by_name: bool) -> tuple[bool, tuple[int | str, str] | None]:
    """Whether the page lies before the position, and the position; none for the first page."""
    if not token:
        return False, None
    if by_name:
        made_for, way, key, cluster_id = decode_token(token, tuple[str, str, str, str])
    else:
        made_for, way, key, cluster_id = decode_token(token, tuple[str, str, Number, str])
    if made_for != order:
        raise invalid("page_token: it belongs to a list with another sort_by; give the same sort_by, or leave the token out")
    return way == "prev", (key, cluster_id)


@cache
def _page(admin: bool, by_name: bool, ascending: bool, positioned: bool) -> Select:
    """A page without filters: there are sixteen, each built once. Values: `access.shown_values`, `most`, and the position."""
    key = clusters.c.name if by_name else clusters.c.start_time
    wanted = _PLACES.where(and_(access.VISIBLE[admin], access.NOT_GONE)).limit(bindparam("most"))
    if positioned:
        here = tuple_(key, clusters.c.cluster_id)
        there = tuple_(bindparam("position_key", type_=key.type), bindparam("position_id", type_=clusters.c.cluster_id.type))
        wanted = wanted.where(here > there if ascending else here < there)
    if ascending:
        return wanted.order_by(key.asc(), clusters.c.cluster_id.asc())
    return wanted.order_by(key.desc(), clusters.c.cluster_id.desc())


def _conditions(by: ListClustersFilterBy | None) -> list[Any]:
    found: list[Any] = []
    if by is None:
        return found
    if by.cluster_states:
        found.append(clusters.c.state.in_(by.cluster_states))
    if by.cluster_sources:
        found.append(clusters.c.source.in_(by.cluster_sources))
    if by.is_pinned is not None:
        found.append(clusters.c.pinned_at.is_not(None) if by.is_pinned else clusters.c.pinned_at.is_(None))
    if by.policy_id:
        found.append(clusters.c.policy_id == by.policy_id)
    return found
