"""`/api/2.0/policies/clusters/{get,list,enforce}-compliance`: clusters against the policies as they are now.

Editing a policy changes no cluster. Whoever manages a cluster has it obey again, at once or (admins) when it ends or restarts.
"""

import time
from typing import Any

import msgspec
from sqlalchemy import and_, select

from boathouse.compute import access, cluster_changes, cluster_spec, states
from boathouse.compute.cluster_wishes import refuse
from boathouse.compute.policies import compliant, enforcement, mending, store
from boathouse.compute.policies.rules import World
from boathouse.compute.policies.store import PolicyRow
from boathouse.compute.policies.surroundings import world
from boathouse.compute.surroundings import Surroundings, cloud_of
from boathouse.compute.tables import clusters
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid, invalid_state, not_found
from boathouse.edge.paging import decode_token, encode_token
from boathouse.store import Reader
from boathouse.wire.compute import ClusterSpec
from boathouse.wire.policies import (
    CancelPendingClusterEnforcement,
    ClusterCompliance,
    ClusterIdOfCompliance,
    ClusterSettingsChange,
    EnforceClusterCompliance,
    EnforceClusterComplianceResponse,
    GetClusterComplianceResponse,
    ListClusterCompliances,
    ListClusterCompliancesResponse,
    PendingEnforcement,
)

ROOT = "/api/2.0/policies/clusters"
MOST, DEFAULT = 100, 100


@endpoint("GET", f"{ROOT}/get-compliance", action="policyComplianceForClusters.getCompliance")
def get_compliance(ctx: Ctx, query: ClusterIdOfCompliance) -> GetClusterComplianceResponse:
    """Whether a cluster obeys its policy; one without a policy does."""
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, query.cluster_id, "see", now=ctx.store.clock())
        spec = cluster_spec.load(row.spec)
        if not spec.policy_id:
            return GetClusterComplianceResponse(is_compliant=True, violations={})
        policy = store.find(reader, ctx.workspace_id, spec.policy_id)
        broken = _violations(ctx, reader, policy, spec)
        pending = _pending(ctx, reader, policy, row.cluster_id, spec)
    return GetClusterComplianceResponse(is_compliant=not broken, violations=broken, pending_enforcement=pending)


@endpoint("GET", f"{ROOT}/list-compliance", action="policyComplianceForClusters.listCompliance")
def list_compliance(ctx: Ctx, query: ListClusterCompliances) -> ListClusterCompliancesResponse:
    """Of the clusters that the caller sees and that have a policy, which obey it. In pages."""
    size = query.page_size or DEFAULT
    if not 1 <= size <= MOST:
        raise invalid(f"page_size: {query.page_size} is not allowed; give 1 to {MOST}, or 0 for {DEFAULT}")
    after = decode_token(query.page_token, str) if query.page_token else ""
    with ctx.read() as reader:
        policy = store.usable(reader, ctx.caller, query.policy_id)
        wanted = (
            select(clusters.c.cluster_id, *access.columns("spec"))
            .where(and_(access.VISIBLE[ctx.caller.admin], access.NOT_GONE))
            .where(clusters.c.policy_id == policy.policy_id, clusters.c.cluster_id > after)
            .order_by(clusters.c.cluster_id)
            .limit(size + 1)
        )
        rows = reader.execute(wanted, access.shown_values(ctx.caller, ctx.store.clock())).all()
        found = []
        for row in rows[:size]:
            spec = cluster_spec.load(row.spec)
            broken = _violations(ctx, reader, policy, spec)
            pending = _pending(ctx, reader, policy, row.cluster_id, spec)
            found.append(
                ClusterCompliance(
                    cluster_id=row.cluster_id, is_compliant=not broken, violations=broken, pending_enforcement=pending
                )
            )
    more = len(rows) > size
    return ListClusterCompliancesResponse(clusters=found, next_page_token=encode_token(found[-1].cluster_id) if more else None)


@endpoint("POST", f"{ROOT}/enforce-compliance", action="policyComplianceForClusters.enforceCompliance")
def enforce_compliance(ctx: Ctx, body: EnforceClusterCompliance) -> EnforceClusterComplianceResponse:
    """Have a cluster obey its policy: a terminated one is edited, a running one restarts, or waits for its end."""
    waits = body.enforce_mode == "WAIT_FOR_TERMINATION"
    if waits and not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can enforce a policy with WAIT_FOR_TERMINATION.")
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock())
        spec = cluster_spec.load(row.spec)
        if not spec.policy_id:
            raise invalid(f"Cluster {body.cluster_id} has no policy that could be enforced upon it.")
        policy = store.usable(reader, ctx.caller, spec.policy_id)
        mended = _mended(ctx, reader, policy, compliant.shown(spec))
    changes = [_change(each) for each in mended.changes]
    if body.validate_only or not changes:
        result = None if body.validate_only else "NO_CHANGES"
        return EnforceClusterComplianceResponse(has_changes=bool(changes), changes=changes, enforce_result=result)
    if row.source == "JOB":
        raise invalid_state(f"Cluster {body.cluster_id} was created by a job; enforce the policy upon the job.")
    if waits and row.state != states.TERMINATED:
        if row.state == states.TERMINATING:
            raise invalid_state(f"{states.unexpected(body.cluster_id, row.state)} Enforce the policy when it has ended.")
        refuse(ctx, msgspec.convert(mended.document, ClusterSpec))
        with ctx.transaction() as tx:
            access.find(tx, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock(), lock=True)
            enforcement.schedule(tx, body.cluster_id, ctx.caller.name, [msgspec.to_builtins(each) for each in changes])
        return EnforceClusterComplianceResponse(has_changes=True, changes=changes, enforce_result="DEFERRED")

    def wanted(old: dict[str, Any]) -> ClusterSpec:
        with ctx.read() as reader:
            again = _mended(ctx, reader, policy, compliant.shown(cluster_spec.load(old)))
        return msgspec.convert(again.document, ClusterSpec)

    cluster_changes.change(ctx, body.cluster_id, wanted)
    return EnforceClusterComplianceResponse(has_changes=True, changes=changes, enforce_result="APPLIED")


@endpoint(
    "POST", "/api/2.0/policies/clusters:cancelPendingClusterEnforcement",
    action="policyComplianceForClusters.cancelPendingClusterEnforcement",
)  # fmt: skip
def cancel_pending_cluster_enforcement(ctx: Ctx, body: CancelPendingClusterEnforcement) -> None:
    """Take back what WAIT_FOR_TERMINATION scheduled. For admins."""
    if not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can cancel pending enforcements.")
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock(), lock=True)
        if row.state == states.TERMINATING:
            raise invalid_state(states.unexpected(body.cluster_id, row.state))
        if not enforcement.forget(tx, body.cluster_id) and not body.allow_missing:
            raise not_found(f"Cluster {body.cluster_id} has no pending enforcement.")


def _world(ctx: Ctx, reader: Reader) -> World:
    return world(reader, ctx.workspace_id, built=ctx.service(Surroundings).built)


def _violations(ctx: Ctx, reader: Reader, policy: PolicyRow, spec: ClusterSpec) -> dict[str, str]:
    definition = policy.rules(ctx.service(Surroundings).cloud(reader, ctx.workspace_id))
    return compliant.violations(definition, spec, _world(ctx, reader))


def _mended(ctx: Ctx, reader: Reader, policy: PolicyRow, document: dict[str, Any]) -> mending.Mended:
    """Raises ApiError for a cluster that cannot be made to obey."""
    definition = policy.rules(ctx.service(Surroundings).cloud(reader, ctx.workspace_id))
    mended = mending.mend(compliant.askable(definition), document, _world(ctx, reader))
    if mended.left:
        told = "; ".join(each.message for each in mended.left)
        raise invalid(f"Cluster validation error: the policy names no value to put in place of what it refuses: {told}")
    return mended


def _change(change: mending.Change) -> ClusterSettingsChange:
    return ClusterSettingsChange(field=change.field, previous_value=change.previous_value, new_value=change.new_value)


def _pending(ctx: Ctx, reader: Reader, policy: PolicyRow, cluster_id: str, spec: ClusterSpec) -> PendingEnforcement | None:
    due = enforcement.of(reader, cluster_id)
    if due is None:
        return None
    definition = compliant.askable(policy.rules(cloud_of(reader, ctx.workspace_id)))
    target = mending.mend(definition, compliant.shown(spec), _world(ctx, reader)).document
    at = time.gmtime(due.initiated_at / 1000)
    return PendingEnforcement(
        enforcement_status=due.status, initiate_time=time.strftime("%Y-%m-%dT%H:%M:%S", at) + f".{due.initiated_at % 1000:03d}Z",
        initiator_user=due.initiator, target_changes=msgspec.convert(due.changes, list[ClusterSettingsChange]),
        target_spec=msgspec.convert(target, ClusterSpec),
    )  # fmt: skip
