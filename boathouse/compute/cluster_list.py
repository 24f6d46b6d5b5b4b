"""`clusters/list`: pages of the clusters that the caller may see, pinned, active, or ended less than 30 days ago.

Pages are cut by position (start time or name, then id), never by counting, so that they cost the same at the end of ten thousand
clusters as at the beginning and nothing appears twice while clusters come and go.
"""

from typing import Annotated, Any

import msgspec
from sqlalchemy import Select, and_, false, select, tuple_

from boathouse.compute import access, cluster_view
from boathouse.compute.surroundings import ZONES, Surroundings
from boathouse.compute.tables import clusters
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.wire.compute import ListClusters, ListClustersFilterBy, ListClustersResponse

MOST, DEFAULT = 100, 100

#: Tokens come back from clients: a number in one must fit the database.
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]

_SELECT = select(*access.columns(*cluster_view.NEEDED))


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
    wanted = _SELECT.where(and_(access.visible(ctx.caller), access.not_gone(ctx.store.clock()), *_conditions(query.filter_by)))
    ascending = (direction == "ASC") != back
    with ctx.read() as reader:
        cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
        rows = list(reader.execute(_cut(wanted, by_name, ascending, position).limit(size + 1)).all())
    more = len(rows) > size
    rows = rows[:size]
    if back:
        rows.reverse()
    zone = ZONES[cloud][0]
    answer = ListClustersResponse([cluster_view.details(row, cloud, zone) for row in rows])
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


def _cut(wanted: Select, by_name: bool, ascending: bool, position: tuple[int | str, str] | None) -> Select:
    key = clusters.c.name if by_name else clusters.c.start_time
    if position is not None:
        here, there = tuple_(key, clusters.c.cluster_id), tuple_(*position, types=[key.type, clusters.c.cluster_id.type])
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
        # No cluster has a policy while none can be made.
        found.append(false())
    return found
