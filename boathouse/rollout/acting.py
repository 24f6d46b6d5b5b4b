"""Doing something as whoever started a roll-out: with the rights that they have now, by the functions that the API calls."""

from boathouse.auth import callers
from boathouse.edge import Ctx
from boathouse.edge.caller import Caller
from boathouse.edge.context import Services
from boathouse.rollout.failures import StepFailed
from boathouse.store import Store


class Acting:
    """`services`: what endpoints find."""

    def __init__(self, store: Store, services: Services) -> None:
        self._store, self._services = store, services

    def as_owner(self, owner_id: int, owner: str, workspace_id: int, action: str) -> Ctx:
        """A request of the owner's in a workspace; `action` names it in the audit. Raises StepFailed when they may not be
        there."""
        with self._store.read() as reader:
            caller = callers.on_behalf(reader, owner_id, workspace_id)
        if caller is None:
            raise StepFailed(f"{owner}, who started it, is not an active member of workspace {workspace_id}")
        return Ctx(self._store, caller, self._services, action=action)

    def to_end(self, owner_id: int, owner: str, workspace_id: int, action: str) -> Ctx:
        """A request that ends what the roll-out itself has made, also when its owner is gone."""
        return Ctx(self._store, Caller(owner_id, owner, "user", workspace_id, admin=True), self._services, action=action)
