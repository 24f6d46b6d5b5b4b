"""Reading the audit log: of the account by its admins, of a workspace by its. Entries have the platform's shape (audit
log schema 2.0). Every change has written one in its own transaction; so has every refusal for want of a right.
"""

from typing import Any

import msgspec
from sqlalchemy import Row, select

from boathouse.account import rights
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.edge.tables import audit
from boathouse.store import Reader
from boathouse.wire.account import AuditQuery

LARGEST_PAGE = 1000


@endpoint("GET", "/api/2.0/boathouse/accounts/{account_id}/audit", action="audit.readAccount")
def of_account(ctx: Ctx, account_id: str, query: AuditQuery) -> dict[str, Any]:
    """Entries of all workspaces, also of deleted ones, and of the account itself, the latest first."""
    rights.admin(ctx, "read the audit log of the account")
    with ctx.read() as reader:
        return _page(reader, query, ctx.account_id)


@endpoint("GET", "/api/2.0/boathouse/audit", action="audit.readWorkspace")
def of_workspace(ctx: Ctx, query: AuditQuery) -> dict[str, Any]:
    """Entries of this workspace, the latest first."""
    if not ctx.caller.admin:
        raise denied("Only workspace admins can read the audit log of the workspace.")
    if query.workspace_id not in (None, ctx.workspace_id):
        raise invalid(f"workspace_id: {query.workspace_id} is not this workspace. Allowed: {ctx.workspace_id}.")
    query.workspace_id = ctx.workspace_id
    with ctx.read() as reader:
        return _page(reader, query, ctx.account_id)


def entry(row: Row[Any], account_id: str) -> dict[str, Any]:
    """A row in the platform's shape; `account_id` is the account of this server."""
    service, _, action = row.action.partition(".")
    parameters = msgspec.json.decode(row.request)
    texts = {
        str(name): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in (parameters.items() if isinstance(parameters, dict) else [("request", parameters)])
    }
    return {
        "version": "2.0", "auditLevel": "WORKSPACE_LEVEL" if row.workspace_id else "ACCOUNT_LEVEL", "timestamp": row.at,
        "accountId": account_id, "workspaceId": str(row.workspace_id), "sourceIPAddress": row.source,
        "userIdentity": {"email": row.principal}, "serviceName": service, "actionName": action, "requestId": row.request_id,
        "requestParams": texts, "response": {"statusCode": row.status},
    }  # fmt: skip


def _page(reader: Reader, query: AuditQuery, account_id: str) -> dict[str, Any]:
    if not 1 <= query.page_size <= LARGEST_PAGE:
        raise invalid(f"page_size: {query.page_size} is not allowed. Allowed: 1 to {LARGEST_PAGE}.")
    wanted = select(audit)
    if query.start_time is not None:
        wanted = wanted.where(audit.c.at >= query.start_time)
    if query.end_time is not None:
        wanted = wanted.where(audit.c.at < query.end_time)
    equal = {"workspace_id": query.workspace_id, "principal": query.principal, "action": query.action}
    for name, value in equal.items():
        if value is not None:
            wanted = wanted.where(audit.c[name] == value)
    if query.page_token:
        wanted = wanted.where(audit.c.id < decode_token(query.page_token, int))
    rows = reader.execute(wanted.order_by(audit.c.id.desc()).limit(query.page_size + 1)).all()
    answer: dict[str, Any] = {"entries": [entry(row, account_id) for row in rows[: query.page_size]]}
    if len(rows) > query.page_size:
        answer["next_page_token"] = encode_token(rows[query.page_size - 1].id)
    return answer
