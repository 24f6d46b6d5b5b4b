"""What seals secret values in documents of the catalog: put in by `server.py`, see `workspace.sealing`."""

from typing import Protocol


class Seals(Protocol):
    def seal(self, text: str, aad: str) -> str:
        """`text` sealed, bound to what `aad` says it is."""
        ...
