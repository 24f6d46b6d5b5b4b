"""The event log of a cluster: only the platform's event types and keys (reference api A.3; unknown ones hang clients).

`record` is how every part of compute adds one, in the transaction of the change; `clusters/events` reads them. What Databricks
has no word for goes to the timeline instead.
"""

import typing
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Text, and_, bindparam, cast, func, insert, or_, select

from boathouse.compute import access
from boathouse.compute.tables import events
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.store import Tx
from boathouse.wire.compute import ClusterEvent, EventType, GetEvents, GetEventsResponse

TYPES = frozenset(typing.get_args(EventType))
DETAIL_KEYS = frozenset(
    {
        "attributes", "cause", "cluster_size", "current_num_vcpus", "current_num_workers", "did_not_expand_reason", "disk_size",
        "driver_state_message", "enable_termination_for_node_blocklisted", "free_space", "init_scripts", "instance_id",
        "job_run_name", "previous_attributes", "previous_cluster_size", "previous_disk_size", "reason", "target_num_vcpus",
        "target_num_workers", "user",
    }
)  # fmt: skip

DEFAULT_LIMIT, MOST = 50, 500

_INSERT = insert(events).values(
    cluster_id=bindparam("cluster_id"), at=bindparam("at"), type=bindparam("type"), details=bindparam("details")
)


def record(tx: Tx, cluster_id: str, type: str, details: Mapping[str, Any] | None = None, at: int | None = None) -> None:
    """Add an event; `at` in epoch ms, by default now. Raises ValueError for a type or a key that the platform does not have."""
    details = dict(details or {})
    if type not in TYPES or not details.keys() <= DETAIL_KEYS:
        raise ValueError(f"{type} with {sorted(details)} is not an event that the platform has; use the timeline")
    tx.execute(
        _INSERT,
        {"cluster_id": cluster_id, "at": tx.store.clock() if at is None else at, "type": type, "details": details},
    )


@endpoint("POST", "/api/2.1/clusters/events", also=["/api/2.0/clusters/events"], action="clusters.events")
def list_events(ctx: Ctx, body: GetEvents) -> GetEventsResponse:
    """A page of a cluster's events, the latest first unless `order` is ASC."""
    limit = _limit(body)
    offset = body.offset or 0
    if offset < 0 or offset > 2**62:
        raise invalid(f"offset: {offset} is not allowed; give 0 or more")
    ascending = body.order == "ASC"
    wanted = [events.c.cluster_id == body.cluster_id]
    if body.start_time:
        wanted.append(events.c.at >= _time("start_time", body.start_time))
    if body.end_time:
        wanted.append(events.c.at <= _time("end_time", body.end_time))
    if body.event_types:
        wanted.append(events.c.type.in_(body.event_types))
    position = [events.c.at, events.c.id]
    forward = [c.asc() if ascending else c.desc() for c in position]
    statement = select(events.c.id, events.c.at, events.c.type, cast(events.c.details, Text).label("details"))
    paged = and_(*wanted)
    back = False
    if body.page_token:
        way, at, number, offset = decode_token(body.page_token, tuple[str, int, int, int])
        back = way == "prev"
        after = ascending != back
        beyond = (events.c.at > at, events.c.id > number) if after else (events.c.at < at, events.c.id < number)
        paged = and_(paged, or_(beyond[0], and_(events.c.at == at, beyond[1])))
        if back:
            forward = [c.desc() if ascending else c.asc() for c in position]
        statement = statement.where(paged).order_by(*forward).limit(limit + 1)
    else:
        statement = statement.where(paged).order_by(*forward).limit(limit + 1).offset(offset)
    with ctx.read() as reader:
        access.find(reader, ctx.caller, body.cluster_id, "see", now=ctx.store.clock())
        total = reader.execute(select(func.count()).select_from(events).where(and_(*wanted))).scalar_one()
        rows = list(reader.execute(statement).all())
    more = len(rows) > limit
    rows = rows[:limit]
    if back:
        rows.reverse()
        offset = max(0, offset - len(rows))
    answer = GetEventsResponse(
        events=[ClusterEvent(body.cluster_id, row.at, row.type, msgspec.Raw(row.details.encode())) for row in rows],
        total_count=total,
    )
    if rows and (more or back):
        answer.next_page_token = encode_token(("next", rows[-1].at, rows[-1].id, offset + len(rows)))
        answer.next_page = msgspec.structs.replace(
            body, offset=offset + len(rows), limit=limit, page_size=None, page_token=answer.next_page_token
        )
    if rows and (offset > 0 if not back else more):
        answer.prev_page_token = encode_token(("prev", rows[0].at, rows[0].id, offset))
    return answer


def _limit(body: GetEvents) -> int:
    for name, value in (("page_size", body.page_size), ("limit", body.limit)):
        if value is not None and not 0 <= value <= MOST:
            raise invalid(f"{name}: {value} is not allowed; give 1 to {MOST}, or 0 for {DEFAULT_LIMIT}")
    return body.page_size or body.limit or DEFAULT_LIMIT


def _time(name: str, value: int) -> int:
    if not 0 <= value < 2**62:
        raise invalid(f"{name}: {value} is not a time in epoch milliseconds")
    return value
