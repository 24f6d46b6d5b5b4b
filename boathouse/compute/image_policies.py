"""`/api/2.0/boathouse/image-policy`: what images a workspace's clusters may be made of, and exceptions from it. Admins only.

The rules are `images.trust.policy`. They are asked where a wish is written (`refusal`), and again at each launch (`image_gate`).
A change is for wishes and launches from then on: what runs goes on.
"""

import secrets
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from boathouse.compute.tables import image_exceptions, image_policies
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import ApiError, denied, invalid, not_found
from boathouse.images.references import InvalidReference, parse
from boathouse.images.trust import policy as rules
from boathouse.images.trust.policy import Facts, Judgement
from boathouse.store import Reader
from boathouse.wire.base import Empty
from boathouse.wire.image_policy import (
    CreateException,
    CreateExceptionResponse,
    ImageException,
    ImagePolicy,
    ImagePolicyInForce,
)

ROOT = "/api/2.0/boathouse/image-policy"
#: Exceptions of a workspace, ended ones too.
MOST_EXCEPTIONS = 1000


class InForce(msgspec.Struct, frozen=True):
    """A workspace's policy and its exceptions, as they were read."""

    policy: ImagePolicy
    exceptions: tuple[ImageException, ...]

    def judge(self, facts: Facts, names: tuple[str, ...], now: datetime) -> Judgement:
        """See `policy.judge`."""
        return rules.judge(self.policy, self.exceptions, facts, names, now)


def in_force(reader: Reader, workspace_id: int) -> InForce | None:
    """The policy of a workspace; None where none was ever set."""
    row = reader.execute(select(image_policies.c.policy).where(image_policies.c.workspace_id == workspace_id)).first()
    if row is None:
        return None
    policy = msgspec.convert(row.policy, ImagePolicy)
    return InForce(policy, _exceptions(reader, workspace_id) if rules.demands(policy, rules.RULES) else ())


def refusal(policy: InForce | None, url: str | None, now: int) -> str:
    """Why an image's reference may not be named in a wish; empty for one that may, or is no reference. `now` in epoch ms."""
    if policy is None or not url:
        return ""
    try:
        facts = Facts(parse(url))
    except InvalidReference:
        return ""  # refused for that by who looks at the reference itself
    first = policy.judge(facts, rules.AT_WISH, moment(now)).first
    return first.text if first else ""


def moment(now: int) -> datetime:
    """Epoch milliseconds as a time."""
    return datetime.fromtimestamp(now / 1000, UTC)


@endpoint("GET", ROOT, action="imagePolicy.get")
def get(ctx: Ctx) -> ImagePolicyInForce:
    """The policy with all its exceptions, those that have ended too."""
    _admins_only(ctx)
    with ctx.read() as reader:
        row = reader.execute(select(image_policies).where(image_policies.c.workspace_id == ctx.workspace_id)).first()
        exceptions = list(_exceptions(reader, ctx.workspace_id))
    today = moment(ctx.store.clock()).date()
    for each in exceptions:
        each.ended = today > each.until
    if row is None:
        return ImagePolicyInForce(policy=ImagePolicy(), exceptions=exceptions)
    policy = msgspec.convert(row.policy, ImagePolicy)
    return ImagePolicyInForce(policy=policy, exceptions=exceptions, updated_by=row.updated_by, updated_at=row.updated_at)


@endpoint("PUT", ROOT, action="imagePolicy.set")
def put(ctx: Ctx, body: ImagePolicy) -> Empty:
    """Put a policy whole in the place of the one before. An empty one demands nothing."""
    _admins_only(ctx)
    first = next(rules.problems(body, moment(ctx.store.clock()).date()), None)
    if first is not None:
        raise invalid(first)
    values = {"policy": msgspec.to_builtins(body), "updated_at": ctx.store.clock(), "updated_by": ctx.caller.name}
    mine = image_policies.c.workspace_id == ctx.workspace_id
    try:
        with ctx.transaction() as tx:
            if not tx.execute(update(image_policies).where(mine).values(**values)).rowcount:
                tx.execute(insert(image_policies).values(workspace_id=ctx.workspace_id, **values))
    except IntegrityError:  # on PostgreSQL two first ones may meet
        raise ApiError(409, "ABORTED", "The image policy was set by somebody else at the same time; set it again.") from None
    return Empty()


@endpoint("POST", f"{ROOT}/exceptions", action="imagePolicy.createException")
def except_image(ctx: Ctx, body: CreateException) -> CreateExceptionResponse:
    """Let one image pass some rules, or all, until a day, for a reason."""
    _admins_only(ctx)
    now = ctx.store.clock()
    problem = next(rules.exception_problems(body.image, body.reason, body.rules, body.until, moment(now).date()), None)
    if problem is not None:
        raise invalid(problem)
    exception_id = secrets.token_hex(8)
    with ctx.transaction() as tx:
        mine = image_exceptions.c.workspace_id == ctx.workspace_id
        if tx.execute(select(func.count()).select_from(image_exceptions).where(mine)).scalar_one() >= MOST_EXCEPTIONS:
            raise invalid(f"The workspace has {MOST_EXCEPTIONS} exceptions from its image policy; delete some first.")
        tx.execute(
            insert(image_exceptions).values(
                exception_id=exception_id, workspace_id=ctx.workspace_id, image=body.image, rules=body.rules, reason=body.reason,
                until=body.until.isoformat(), created_at=now, created_by=ctx.caller.name,
            )
        )  # fmt: skip
    return CreateExceptionResponse(exception_id)


@endpoint("DELETE", f"{ROOT}/exceptions/{{exception_id}}", action="imagePolicy.deleteException")
def end_exception(ctx: Ctx, exception_id: str) -> Empty:
    """Take an exception back: the image must obey again at its next launch."""
    _admins_only(ctx)
    mine = and_(image_exceptions.c.workspace_id == ctx.workspace_id, image_exceptions.c.exception_id == exception_id)
    with ctx.transaction() as tx:
        if not tx.execute(delete(image_exceptions).where(mine)).rowcount:
            raise not_found(f"There is no exception '{exception_id[:64]}' from the image policy.")
    return Empty()


def _admins_only(ctx: Ctx) -> None:
    if not ctx.caller.admin:
        raise denied("Only workspace admins can see and change the image policy.")


def _exceptions(reader: Reader, workspace_id: int) -> tuple[ImageException, ...]:
    wanted = select(image_exceptions).where(image_exceptions.c.workspace_id == workspace_id)
    ordered = wanted.order_by(image_exceptions.c.created_at, image_exceptions.c.exception_id)
    return tuple(_exception(row) for row in reader.execute(ordered))


def _exception(row: Any) -> ImageException:
    return ImageException(
        exception_id=row.exception_id, image=row.image, reason=row.reason, until=date.fromisoformat(row.until),
        created_by=row.created_by, created_at=row.created_at, rules=row.rules,
    )  # fmt: skip
