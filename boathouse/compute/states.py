"""The states of a cluster and what each verb of the API does in each of them. Pure: the caller writes what is answered here.

Source: reference api A and A.1. `clusters.py` asks before it writes a wish; the reconciler asks `may_move` before it writes what
came of one. ERROR and UNKNOWN exist in the API for clients; we never enter them. The words for states and wishes stand here only.
"""

import msgspec

PENDING, RUNNING, RESTARTING, RESIZING = "PENDING", "RUNNING", "RESTARTING", "RESIZING"
TERMINATING, TERMINATED = "TERMINATING", "TERMINATED"

#: Every move of api A.1. Staying is always allowed. TERMINATED to PENDING is what start asks for.
MOVES: dict[str, frozenset[str]] = {
    PENDING: frozenset({RUNNING, TERMINATING}),
    RUNNING: frozenset({RESIZING, RESTARTING, TERMINATING}),
    RESTARTING: frozenset({RUNNING, TERMINATING}),
    RESIZING: frozenset({RUNNING, TERMINATING}),
    TERMINATING: frozenset({TERMINATED}),
    TERMINATED: frozenset({PENDING}),
}

#: States in which nodes may exist; the others count as ended.
ACTIVE = frozenset({PENDING, RUNNING, RESTARTING, RESIZING, TERMINATING})

#: States in which a launch is under way, and in which a cluster takes commands.
LAUNCHING, SERVING = (PENDING, RESTARTING), (RUNNING, RESIZING)

#: What a cluster says while nodes of it are still to come (reference api A.1).
ACQUIRING = "Finding instances for new nodes, acquiring more instances if necessary"

#: How the message begins while a registry lets a launch wait.
WAITING = "Waiting until"

#: The `source` of an idle instance of a pool: a cluster's row that is nobody's cluster yet (see `pool_stock`).
POOL = "POOL"

WISH_RUNNING, WISH_TERMINATED, WISH_DELETED = "running", "terminated", "deleted"

#: The kinds under which clusters and pools are leased: whoever changes one wakes it by this.
KIND, POOL_KIND = "cluster", "pool"


def may_move(old: str, new: str) -> bool:
    """Whether a cluster may go from `old` to `new`."""
    return old == new or new in MOVES.get(old, frozenset())


def waiting_message(shown: str, waiting: str) -> str | None:
    """What the message of a launching cluster becomes when a registry is waited for (`waiting`), or no more (empty); None: it
    stays."""
    if waiting:
        return None if shown == waiting else waiting
    return ACQUIRING if shown.startswith(WAITING) else None


class Answer(msgspec.Struct, frozen=True):
    """What a verb comes to: the state to enter and whether a new launch is wished, nothing at all (`state` None), or a refusal
    with the platform's text for INVALID_STATE."""

    state: str | None = None
    new_launch: bool = False
    refused: str | None = None


NOTHING = Answer()


def unexpected(cluster_id: str, state: str) -> str:
    """The platform's text for a verb that does not fit the state."""
    return f"Cluster {cluster_id} is in unexpected state {state.capitalize()}."


def start(cluster_id: str, state: str) -> Answer:
    """Only a terminated cluster starts; every other state is refused, which clients that wait know how to take."""
    if state == TERMINATED:
        return Answer(PENDING, new_launch=True)
    return Answer(refused=unexpected(cluster_id, state))


def restart(state: str) -> Answer:
    """Only a running cluster restarts; in every other state nothing happens."""
    return Answer(RESTARTING, new_launch=True) if state == RUNNING else NOTHING


def delete(state: str) -> Answer:
    """Whatever is not ended or ending begins to end."""
    return NOTHING if state in (TERMINATING, TERMINATED) else Answer(TERMINATING)


def edit(cluster_id: str, state: str) -> Answer:
    """A running cluster restarts with the new wish, a terminated one keeps its state; others are refused."""
    if state == RUNNING:
        return Answer(RESTARTING, new_launch=True)
    if state == TERMINATED:
        return Answer(TERMINATED)
    return Answer(refused=unexpected(cluster_id, state))


def resize(cluster_id: str, state: str) -> Answer:
    """Only a running cluster is resized; one that still changes its size has to come to rest first."""
    return Answer(RESIZING) if state == RUNNING else Answer(refused=unexpected(cluster_id, state))
