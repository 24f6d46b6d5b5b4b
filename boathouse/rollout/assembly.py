"""Putting the room together: reconcilers over the things that `server.py` owns. Tests make it with a fake clock and fake work."""

from dataclasses import dataclass

from boathouse.compute.images_step import ImageSteps
from boathouse.compute.launch_inputs import Sources
from boathouse.edge.context import Services
from boathouse.reconcile import Reconcile
from boathouse.rollout import rows
from boathouse.rollout.acting import Acting
from boathouse.rollout.effects import Effects, ImageWork
from boathouse.rollout.image_check import ImageCheck
from boathouse.rollout.reconciler import Rollouts
from boathouse.rollout.sights import Sights
from boathouse.store import Store


@dataclass(frozen=True)
class Room:
    """Roll-outs, assembled. `resume` at every start of a control plane."""

    rollouts: Rollouts

    def reconcilers(self) -> dict[str, Reconcile]:
        return {rows.KIND: self.rollouts}

    def resume(self) -> None:
        self.rollouts.resume()


def make(store: Store, services: Services, images: ImageSteps, sources: Sources, work: ImageWork) -> Room:
    """`services`: what endpoints find; `images`, `sources`: those of launches; `work`: see `ImageWork`."""
    check = ImageCheck(images, sources)
    acting = Acting(store, services)
    return Room(Rollouts(store, Sights(store, check), Effects(store, acting, check, work), check))
