"""The event log of a cluster: only the platform's event types and keys (reference api A.3; unknown ones hang clients).

`record` is how every part of compute adds one, in the transaction of the change; `clusters/events` reads them. What Databricks
has no word for goes to the timeline instead.
"""

import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import BigInteger, Select, Text, and_, bindparam, cast, func, insert, select, tuple_
from sqlalchemy.sql import ColumnElement

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

#: Tokens come back from clients: a number in one must fit the database.
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]

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
    """A page of events, the latest first unless `order` is ASC. `next_page` is the body that asks for the next one."""
    limit = _limit(body)
    wanted = and_(*_conditions(body))
    here = decode_token(body.page_token, Position) if body.page_token else None
    back = here is not None and here.way == "prev"
    before = here.before if here is not None else _offset(body)
    statement = _page(wanted, (body.order == "ASC") != back, here).limit(limit + 1)
    with ctx.read() as reader:
        access.find(reader, ctx.caller, body.cluster_id, "see", now=ctx.store.clock())
        total = reader.execute(select(func.count()).select_from(events).where(wanted)).scalar_one()
        rows = list(reader.execute(statement if here is not None else statement.offset(before)).all())
    more = len(rows) > limit
    rows = rows[:limit]
    if back:
        rows.reverse()
        before = max(0, before - len(rows))
    answer = GetEventsResponse(
        events=[ClusterEvent(body.cluster_id, row.at, row.type, msgspec.Raw(row.details.encode())) for row in rows],
        total_count=total,
    )
    if rows and (more or back):
        after = before + len(rows)
        answer.next_page_token = encode_token(Position("next", rows[-1].at, rows[-1].id, after))
        answer.next_page = msgspec.structs.replace(
            body, offset=after, limit=limit, page_size=None, page_token=answer.next_page_token
        )
    if rows and (more if back else before > 0):
        answer.prev_page_token = encode_token(Position("prev", rows[0].at, rows[0].id, before))
    return answer


class Position(msgspec.Struct, array_like=True):
    """Where a page begins: beyond the event `id` at time `at`, with `before` events before it for clients that count."""

    way: Literal["next", "prev"]
    at: Number
    id: Number
    before: Number


def _conditions(body: GetEvents) -> list[ColumnElement[bool]]:
    found = [events.c.cluster_id == body.cluster_id]
    if body.start_time:
        found.append(events.c.at >= _time("start_time", body.start_time))
    if body.end_time:
        found.append(events.c.at <= _time("end_time", body.end_time))
    if body.event_types:
        found.append(events.c.type.in_(body.event_types))
    return found


def _page(wanted: ColumnElement[bool], ascending: bool, here: Position | None) -> Select:
    statement = select(events.c.id, events.c.at, events.c.type, cast(events.c.details, Text).label("details")).where(wanted)
    if here is not None:
        position = tuple_(events.c.at, events.c.id)
        beyond = tuple_(here.at, here.id, types=[events.c.at.type, BigInteger()])
        statement = statement.where(position > beyond if ascending else position < beyond)
    if ascending:
        return statement.order_by(events.c.at.asc(), events.c.id.asc())
    return statement.order_by(events.c.at.desc(), events.c.id.desc())


def _offset(body: GetEvents) -> int:
    if body.offset is not None and not 0 <= body.offset < 2**62:
        raise invalid(f"offset: {body.offset} is not allowed; give 0 or more")
    return body.offset or 0


def _limit(body: GetEvents) -> int:
    for name, value in (("page_size", body.page_size), ("limit", body.limit)):
        if value is not None and not 0 <= value <= MOST:
            raise invalid(f"{name}: {value} is not allowed; give 1 to {MOST}, or 0 for {DEFAULT_LIMIT}")
    return body.page_size or body.limit or DEFAULT_LIMIT


def _time(name: str, value: int) -> int:
    if not 0 <= value < 2**62:
        raise invalid(f"{name}: {value} is not a time in epoch milliseconds")
    return value
