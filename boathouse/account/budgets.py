"""Budgets of the account, by workspace and tags (reference api G): kept as they were accepted, and measured against the usage of
this month. One node that is there for an hour counts as one dollar: a threshold of 100 is 100 node-hours.

No mail is sent, so an alert with an action is refused by name; `/api/2.0/boathouse/accounts/{account_id}/budgets` tells what each
budget has come to.
"""

import re
import uuid
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy import delete as sql_delete

from boathouse.account import rights, usage, usage_math
from boathouse.account.tables import budgets
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.store import Reader
from boathouse.wire.account import BudgetBody, BudgetDocument
from boathouse.wire.base import Empty

ROOT = "/api/2.1/accounts/{account_id}/budgets"

#: What an alert must say: the platform has no other values.
FIXED = {
    "quantity_type": "LIST_PRICE_DOLLARS_USD", "time_period": "MONTH", "trigger_type": "CUMULATIVE_SPENDING_EXCEEDED",
}  # fmt: skip


@endpoint("POST", ROOT, action="budgets.create")
def create(ctx: Ctx, account_id: str, body: BudgetBody) -> dict[str, Any]:
    """Make a budget."""
    rights.admin(ctx, "make budgets")
    document = _accepted(ctx, body.budget)
    now, budget_id = ctx.store.clock(), str(uuid.uuid4())
    with ctx.transaction() as tx:
        tx.execute(
            insert(budgets).values(
                budget_id=budget_id, account_id=ctx.account_id, document=document, created_at=now, updated_at=now
            )
        )
        return {"budget": _shown(_find(ctx, tx, budget_id))}


@endpoint("GET", ROOT, action="budgets.list")
def list_budgets(ctx: Ctx, account_id: str) -> dict[str, Any]:
    """All budgets of the account, the oldest first."""
    with ctx.read() as reader:
        usage.admit(ctx, reader, "look at budgets")
        return {"budgets": [_shown(row) for row in _all(ctx, reader)]}


@endpoint("GET", ROOT + "/{budget_id}", action="budgets.get")
def get(ctx: Ctx, account_id: str, budget_id: str) -> dict[str, Any]:
    """One budget."""
    with ctx.read() as reader:
        usage.admit(ctx, reader, "look at budgets")
        return {"budget": _shown(_find(ctx, reader, budget_id))}


@endpoint("PUT", ROOT + "/{budget_id}", action="budgets.update")
def replace(ctx: Ctx, account_id: str, budget_id: str, body: BudgetBody) -> dict[str, Any]:
    """Replace a budget."""
    rights.admin(ctx, "change budgets")
    if body.budget.budget_configuration_id not in (None, budget_id):
        raise invalid(f"budget.budget_configuration_id: is not '{budget_id[:60]}', the one of the path.")
    document = _accepted(ctx, body.budget)
    with ctx.transaction() as tx:
        _find(ctx, tx, budget_id)
        values = {"document": document, "updated_at": ctx.store.clock()}
        tx.execute(update(budgets).where(budgets.c.budget_id == budget_id).values(**values))
        return {"budget": _shown(_find(ctx, tx, budget_id))}


@endpoint("DELETE", ROOT + "/{budget_id}", action="budgets.delete")
def delete(ctx: Ctx, account_id: str, budget_id: str) -> Empty:
    """Delete a budget."""
    rights.admin(ctx, "delete budgets")
    with ctx.transaction() as tx:
        _find(ctx, tx, budget_id)
        tx.execute(sql_delete(budgets).where(budgets.c.budget_id == budget_id))
    return Empty()


@endpoint("GET", "/api/2.0/boathouse/accounts/{account_id}/budgets", action="budgets.status")
def status(ctx: Ctx, account_id: str) -> dict[str, Any]:
    """What each budget has come to this month, in node-hours, and which thresholds are exceeded."""
    now = ctx.store.clock()
    start, end = usage_math.month(now)
    with ctx.read() as reader:
        usage.admit(ctx, reader, "look at budgets")
        rows, records = _all(ctx, reader), usage.records(reader, ctx.account_id, start, end)
    answer: list[dict[str, Any]] = []
    for row in rows:
        filter = row.document.get("filter") or {}
        hours = sum(usage_math.seconds(r, start, end, now) for r in records if usage_math.matches(r, filter)) / 3600
        thresholds = [alert["quantity_threshold"] for alert in row.document.get("alert_configurations") or []]
        answer.append(
            {
                "budget_configuration_id": row.budget_id, "display_name": row.document.get("display_name", ""),
                "node_hours": round(hours, 6), "exceeded": [each for each in thresholds if hours > float(each)],
            }
        )  # fmt: skip
    return {"start_time": start, "end_time": now, "budgets": answer}


def _all(ctx: Ctx, reader: Reader) -> list[Row[Any]]:
    mine = select(budgets).where(budgets.c.account_id == ctx.account_id)
    return list(reader.execute(mine.order_by(budgets.c.created_at, budgets.c.budget_id)))


def _find(ctx: Ctx, reader: Reader, budget_id: str) -> Row[Any]:
    mine = (budgets.c.account_id == ctx.account_id) & (budgets.c.budget_id == budget_id)
    row = reader.execute(select(budgets).where(mine)).first()
    if row is None:
        raise not_found(f"Budget {budget_id[:64]} does not exist.")
    return row


def _shown(row: Row[Any]) -> dict[str, Any]:
    made = {"budget_configuration_id": row.budget_id, "account_id": row.account_id}
    return {**row.document, **made, "create_time": row.created_at, "update_time": row.updated_at}


def _accepted(ctx: Ctx, budget: BudgetDocument) -> dict[str, Any]:
    """The document that is stored. Raises ApiError 400."""
    if budget.account_id not in (None, ctx.account_id):
        raise invalid(f"budget.account_id: '{(budget.account_id or '')[:60]}' is not the account of the path.")
    if not budget.display_name or len(budget.display_name) > 127:
        raise invalid(f"budget.display_name: '{(budget.display_name or '')[:60]}'. Allowed: 1 to 127 characters.")
    document: dict[str, Any] = {"display_name": budget.display_name}
    if budget.filter is not None:
        document["filter"] = _filter(budget.filter)
    if budget.alert_configurations is not None:
        document["alert_configurations"] = [_alert(alert) for alert in budget.alert_configurations]
    return document


def _filter(filter: dict[str, Any]) -> dict[str, Any]:
    _only(filter, "budget.filter", {"tags", "workspace_id"})
    for number, clause in enumerate(filter.get("tags") or []):
        place = f"budget.filter.tags[{number}]"
        _only(clause, place, {"key", "value"})
        if not isinstance(clause.get("key"), str) or not clause["key"]:
            raise invalid(f"{place}.key: is missing. Allowed: the key of a tag.")
        _clause(clause.get("value"), f"{place}.value", str)
    if filter.get("workspace_id") is not None:
        _clause(filter["workspace_id"], "budget.filter.workspace_id", int)
    return filter


def _clause(clause: Any, place: str, kind: type) -> None:
    _only(clause, place, {"operator", "values"})
    if clause.get("operator") != "IN":
        raise invalid(f"{place}.operator: '{str(clause.get('operator'))[:20]}' is not allowed. Allowed: IN.")
    values = clause.get("values")
    if not isinstance(values, list) or not values or not all(type(value) is kind for value in values):
        raise invalid(f"{place}.values: is not a list of {'texts' if kind is str else 'numbers'} with something in it.")


def _alert(alert: Any) -> dict[str, Any]:
    place = "budget.alert_configurations"
    _only(alert, place, {*FIXED, "quantity_threshold", "action_configurations", "alert_configuration_id"})
    for field, value in FIXED.items():
        if alert.get(field) != value:
            raise invalid(f"{place}.{field}: '{str(alert.get(field))[:60]}' is not allowed. Allowed: {value}.")
    threshold = alert.get("quantity_threshold")
    if not isinstance(threshold, str) or not re.fullmatch(r"\d{1,12}(\.\d{1,6})?", threshold, re.ASCII):
        raise invalid(f"{place}.quantity_threshold: '{str(threshold)[:40]}' is not allowed. Allowed: a number as a text.")
    if alert.get("action_configurations"):
        raise invalid(f"{place}.action_configurations: no mail is sent and nothing is blocked by Boathouse yet: leave it empty.")
    return {**alert, "alert_configuration_id": alert.get("alert_configuration_id") or str(uuid.uuid4())}


def _only(document: Any, place: str, allowed: set[str]) -> None:
    if not isinstance(document, dict):
        raise invalid(f"{place}: is not an object. Allowed: {', '.join(sorted(allowed))}.")
    unknown = sorted(set(document) - allowed)
    if unknown:
        raise invalid(f"{place}.{str(unknown[0])[:60]}: is not served. Allowed: {', '.join(sorted(allowed))}.")
