"""Policies at the verbs on clusters: who may make one, what the policy fills in and refuses, and how many a user may have.

Called by `clusters` and `cluster_changes`. Starting and restarting do not ask the rules again: a cluster that its policy would
refuse today goes on until it is edited or enforced upon, as on the platform (decision 22); what they do ask is how many a user
may have.
"""

from typing import Any, TypeVar

import msgspec
from sqlalchemy import func, select

from boathouse.compute import states, surroundings
from boathouse.compute.libraries import rows as library_rows
from boathouse.compute.policies import rules, store
from boathouse.compute.policies.store import PolicyRow
from boathouse.compute.policies.surroundings import world
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import clusters
from boathouse.edge import ApiError, Ctx
from boathouse.edge.errors import denied, invalid, limit_exceeded
from boathouse.store import Reader, Tx
from boathouse.wire.compute import ClusterSpec

S = TypeVar("S", bound=ClusterSpec)


def governed(ctx: Ctx, wish: S, had: str | None = None, fresh: bool = True) -> S:
    """The wish as its policy makes it. `had`: the policy of the cluster that is edited, `fresh` where one is made.

    Raises ApiError: 403 for somebody who may not make such a cluster or use the policy, 404 for a policy that is not there, 400
    with all rules that are broken.
    """
    if not wish.policy_id:
        if (fresh or had) and not ctx.caller.admin:
            with ctx.read() as reader:
                if not surroundings.may_create(reader, ctx.caller):
                    raise denied("You are not authorized to create clusters. Please contact your administrator.")
        return wish
    with ctx.read() as reader:
        policy = store.usable(reader, ctx.caller, wish.policy_id)
        definition = policy.rules(ctx.service(Surroundings).cloud(reader, ctx.workspace_id))
        given = msgspec.to_builtins(wish)
        here = world(reader, ctx.workspace_id, built=ctx.service(Surroundings).built)
        outcome = rules.apply(definition, given, here, defaults=bool(wish.apply_policy_default_values))
    if outcome.refused:
        raise invalid(outcome.error)
    if outcome.document == given:
        return wish
    try:
        return msgspec.convert(outcome.document, type(wish))
    except msgspec.ValidationError as error:
        raise invalid(
            f"Requests for the policy {policy.policy_id} cannot be satisfied due to the malformed policy definition. "
            f"Please contact your administrator to correct the policy definition. ({error})"
        ) from None


def refuse_size(ctx: Ctx, reader: Reader, document: dict[str, Any]) -> None:
    """Raise the ApiError of a stored wish whose new size its policy refuses; what else it breaks is not asked."""
    if not document.get("policy_id"):
        return
    policy = store.find(reader, ctx.workspace_id, document["policy_id"])
    definition = policy.rules(ctx.service(Surroundings).cloud(reader, ctx.workspace_id))
    outcome = rules.apply(definition, document, world(reader, ctx.workspace_id), fill=False)
    sizes = tuple(each for each in outcome.refused if each.path.split(".")[0] in ("num_workers", "autoscale", "dbus_per_hour"))
    if sizes:
        raise invalid(rules.Outcome(document, sizes).error)


def begin(tx: Tx, workspace_id: int, cluster_id: str, policy_id: str | None, user_id: int, user: str) -> None:
    """A cluster of a user begins a launch: count it, and let it have the libraries of its policy. A policy that was deleted
    asks for nothing. Raises ApiError 400 where the user has as many as the policy allows."""
    policy = _known(tx, workspace_id, policy_id)
    if policy is None:
        return
    if policy.max_clusters_per_user is not None:
        store.find(tx, workspace_id, policy.policy_id, lock=True)  # two at once are counted one after the other
        mine = select(func.count()).where(
            clusters.c.policy_id == policy.policy_id, clusters.c.creator_id == user_id, clusters.c.workspace_id == workspace_id,
            clusters.c.cluster_id != cluster_id, clusters.c.state != states.TERMINATED,
        )  # fmt: skip
        count = tx.execute(mine).scalar_one()
        if count >= policy.max_clusters_per_user:
            raise limit_exceeded(
                f"{user} has {count} active clusters of the policy {policy.name!r}, whose max_clusters_per_user is "
                f"{policy.max_clusters_per_user}; end another one first."
            )
    if policy.libraries:
        library_rows.add(tx, cluster_id, policy.libraries, policy.creator or user, tx.store.clock())


def _known(reader: Reader, workspace_id: int, policy_id: str | None) -> PolicyRow | None:
    if not policy_id:
        return None
    try:
        return store.find(reader, workspace_id, policy_id)
    except ApiError:
        return None
