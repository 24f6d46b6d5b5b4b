"""Addresses that stand for a right for a while: what a client without a credential may do, for whom, and until when.

Signed with the server's key and not stored; the rights behind one are asked again when it is used.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

#: Epoch milliseconds that a ticket may last at most, and lasts when nothing is asked for.
LONGEST_MS, USUAL_MS = 24 * 3600_000, 3600_000

Keyed = Callable[[str, str], str]


class Ticket(msgspec.Struct, frozen=True):
    """`principal_id` may do one thing at `path` of a workspace until `until` (epoch milliseconds)."""

    does: Literal["read", "part", "abort"]
    workspace_id: int
    principal_id: int
    path: str
    until: int
    session: str = ""
    part: int = 0


class NoTicket(Exception):
    """It is not one of ours, or no longer holds."""


def sign(keyed: Keyed, ticket: Ticket) -> str:
    """The ticket as a text for an address."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(ticket)).decode().rstrip("=")
    return f"{text}.{keyed('file-ticket', text)}"


def opened(keyed: Keyed, text: str, now: int, does: str) -> Ticket:
    """The ticket for this use. Raises NoTicket."""
    body, _, signature = text.partition(".")
    if not hmac.compare_digest(signature.encode(), keyed("file-ticket", body).encode()):
        raise NoTicket("This address is not one that the server gave out.")
    try:
        ticket = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Ticket)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise NoTicket("This address is not one that the server gave out.") from None
    if ticket.does != does:
        raise NoTicket("This address is for something else.")
    if ticket.until < now:
        raise NoTicket("This address has expired; ask for another.")
    return ticket


def until(expire_time: str | None, now: int) -> int:
    """When a ticket ends that is to end at `expire_time` (RFC 3339; None: the usual time). Raises ValueError."""
    if not expire_time:
        return now + USUAL_MS
    asked = datetime.fromisoformat(expire_time)
    if asked.tzinfo is None:
        raise ValueError("no time zone")
    return min(int(asked.timestamp() * 1000), now + LONGEST_MS)
