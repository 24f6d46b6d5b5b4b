"""Putting the room together: reconcilers over the things that `server.py` owns. Tests make it with a fake clock and fake work."""

import msgspec

from boathouse.compute.assembly import Launcher
from boathouse.compute.launch_inputs import Sources
from boathouse.edge.context import Services
from boathouse.reconcile import Reconcile
from boathouse.rollout import rows, triggers
from boathouse.rollout.acting import Acting
from boathouse.rollout.effects import Effects, ImageWork
from boathouse.rollout.image_check import ImageCheck
from boathouse.rollout.logins import Vault
from boathouse.rollout.reconciler import Rollouts
from boathouse.rollout.sights import Sights
from boathouse.rollout.triggers import Triggers
from boathouse.store import Store


class Room(msgspec.Struct, frozen=True):
    """Roll-outs, assembled. `resume` at every start of a control plane."""

    rollouts: Rollouts
    triggers: Triggers

    def reconcilers(self) -> dict[str, Reconcile]:
        return {rows.KIND: self.rollouts, triggers.KIND: self.triggers}

    def resume(self) -> None:
        self.rollouts.resume()
        self.triggers.resume()


def make(store: Store, services: Services, launcher: Launcher, sources: Sources, work: ImageWork, vault: Vault) -> Room:
    """`services`: what endpoints find; `launcher`, `sources`: those of launches; `work`: see `ImageWork`."""
    check = ImageCheck(launcher.images, sources)
    effects = Effects(store, Acting(store, services), check, work)
    found = Triggers(store, launcher.images, launcher.scans, vault, work.digest)
    return Room(Rollouts(store, Sights(store, check), effects, check), found)
