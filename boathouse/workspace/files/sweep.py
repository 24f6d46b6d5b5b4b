"""Ends idle streams and uploads, removes the files of dropped volumes, and content that no row names any more, once an hour.

The reconciler of kind `blob-sweep`.
"""

import logging
from collections.abc import Callable, Sequence

from boathouse.reconcile import Outcome, again
from boathouse.store import Reader, Store
from boathouse.store.blobs import Blobs
from boathouse.workspace.files import handles, nodes, uploads, volume_tree

log = logging.getLogger("boathouse.workspace")

KIND, EVERY = "blob-sweep", 3600.0

#: Says which of some digests its room's rows name.
Explains = Callable[[Reader, list[str]], set[str]]


class BlobSweep:
    """One for the control plane. `explains`: of other rooms that keep content."""

    def __init__(self, store: Store, blobs: Blobs, explains: Sequence[Explains] = ()) -> None:
        self._store, self._blobs = store, blobs
        self._explains = (nodes.named_digests, uploads.named_digests, *explains)

    def __call__(self, key: str) -> Outcome:
        """One sweep."""
        handles.end_idle(self._store, self._blobs)
        uploads.end_idle(self._store)
        dropped = volume_tree.forget_dropped(self._store)
        if dropped:
            log.info("removed the files of %d volumes that were dropped", dropped)
        removed = self._blobs.sweep(self._named)
        if removed:
            log.info("removed %d contents that nothing names", len(removed))
        return again(EVERY)

    def _named(self, digests: list[str]) -> set[str]:
        with self._store.read() as reader:
            return set().union(*(explains(reader, digests) for explains in self._explains))
