"""Clusters that two runs of one fleet made at the same time (two machines, two people): their names are not unique, so both may
have made the one of a person. The oldest stays; each run takes away what it made itself and came too late with.

No lock is needed: whoever made the younger one looks after it was made, and the older one is there by then. So one is left
however the runs overlap, and no run touches a cluster that it did not make.
"""

from collections.abc import Iterable, Mapping

from boathouse.provision import found
from boathouse.provision.api import Place, Refused
from boathouse.provision.diff import CREATE, Action, Record, Thing
from boathouse.provision.journal import Journal


def met(planned: Iterable[Action], records: Mapping[str, Record]) -> bool:
    """Whether another cluster was found in the place of one that was made here: a run may have been killed before it looked."""
    there = ((action, records.get(action.id)) for action in planned if action.wish.kind == "cluster" and action.ref)
    return any(record is not None and record.made and record.ref not in ("", action.ref) for action, record in there)


def possible(planned: Iterable[Action]) -> bool:
    """Whether a run that carried this out has to look: it made clusters."""
    return any(action.wish.kind == "cluster" and action.what == CREATE for action in planned)


def end(place: Place, fleet: str, journal: Journal) -> int:
    """Delete the clusters of this journal that are younger than another of their name; how many. Raises Refused."""
    ended = 0
    there = found.clusters_by_name(place, fleet)
    for id, record in list(journal.records.items()):
        same = there.get(id, []) if record.made and id.startswith("cluster ") else []
        if len(same) > 1 and record.ref in (thing.ref for thing in same):
            oldest = min(same, key=lambda thing: (_created_at(place, thing), thing.ref))
            if oldest.ref != record.ref:
                place.workspace.do("POST", f"{found.CLUSTERS}/permanent-delete", body={"cluster_id": record.ref})
                journal.gone(id)
                ended += 1
    return ended


def _created_at(place: Place, thing: Thing) -> float:
    """When a cluster was made (epoch ms): the time of its first event, for a start changes every other. One that is just being
    deleted counts as the youngest."""
    try:
        body = {"cluster_id": thing.ref, "order": "ASC", "limit": 1}
        events = place.workspace.do("POST", f"{found.CLUSTERS}/events", body=body).get("events") or []
    except Refused as error:
        if not error.missing:
            raise
        return float("inf")
    return float(events[0]["timestamp"]) if events else float(thing.shown.get("start_time") or 0)
