"""Etags: opaque to clients, a version of one thing inside. Pure."""

import base64

from boathouse.edge import ApiError


def of(name: str, version: int) -> str:
    """The etag of a version of `name`."""
    return base64.b64encode(f"{name}@{version}".encode()).decode()


def check(sent: str | None, current: str, conflict: str) -> None:
    """Raises ApiError 409 with the current etag in its details when another one was sent; None was not sent."""
    if sent is not None and sent != current:
        raise ApiError(409, "RESOURCE_CONFLICT", conflict, reason="ETAG_MISMATCH", metadata={"etag": current})
