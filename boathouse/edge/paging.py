"""Page tokens: opaque to clients, and nothing but a position. A token that we did not make is refused by name."""

import base64
import binascii
from typing import Any

import msgspec

from boathouse.edge.errors import invalid


def encode_token(position: Any) -> str:
    """A page token for a JSON-like position."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_token(token: str, shape: Any) -> Any:
    """The position behind `token`, as `shape`. Raises ApiError 400 naming `page_token`."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=shape)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise invalid(f"page_token: '{token[:60]}' is not a token that this API gave out; leave it out to begin") from None
