"""`/api/2.0/policies/clusters/{create,edit,delete,get,list}`, `/api/2.0/policy-families` and the permissions of policies.

Only workspace admins write policies. What a definition says wrong is told when it is written; clusters that are there go on as
they are until they are edited, enforced upon, or ask for more (see `compliance`).
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import delete as delete_rows
from sqlalchemy import insert, select, update

from boathouse.auth import permissions
from boathouse.compute.libraries import rules as library_rules
from boathouse.compute.policies import families, store
from boathouse.compute.policies.definition import MalformedDefinition, parse
from boathouse.compute.policies.store import POLICIES, PolicyRow
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import cluster_policies as table
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import ApiError, already_exists, denied, invalid, not_found
from boathouse.edge.paging import decode_token, encode_token
from boathouse.store import Tx
from boathouse.wire.libraries import Library
from boathouse.wire.policies import (
    EditPolicy,
    ListPoliciesQuery,
    ListPoliciesResponse,
    ListPolicyFamilies,
    ListPolicyFamiliesResponse,
    Policy,
    PolicyFamily,
    PolicyFamilyQuery,
    PolicyFields,
    PolicyId,
)

ROOT = "/api/2.0/policies/clusters"
LONGEST_NAME, MOST_LIBRARIES, LARGEST_NUMBER = 100, 500, 2**31 - 1

#: A definition is at most half a million characters, and JSON may write each with six.
BODY_LIMIT = 4 << 20

get_permissions, set_permissions, update_permissions, permission_levels = permissions.endpoints(
    POLICIES, __name__, action="clusterPolicies"
)


@endpoint("POST", f"{ROOT}/create", action="clusterPolicies.create", body_limit=BODY_LIMIT)
def create(ctx: Ctx, body: PolicyFields) -> PolicyId:
    """Make a policy. Nobody but admins may use it until somebody is given CAN_USE."""
    _admins_only(ctx)
    values = _values(ctx, body)
    policy_id = store.new_id()
    with ctx.transaction() as tx:
        _unused(tx, ctx.workspace_id, values["name"], policy_id)
        tx.execute(
            insert(table).values(
                policy_id=policy_id, workspace_id=ctx.workspace_id, is_default=False, creator=ctx.caller.name,
                created_at=ctx.store.clock(), **values,
            )
        )  # fmt: skip
    return PolicyId(policy_id=policy_id)


@endpoint("POST", f"{ROOT}/edit", action="clusterPolicies.edit", body_limit=BODY_LIMIT)
def edit(ctx: Ctx, body: EditPolicy) -> None:
    """Put a whole new policy in the place of the old one. Clusters that run go on; some may no longer obey it."""
    _admins_only(ctx)
    values = _values(ctx, body)
    with ctx.transaction() as tx:
        old = store.find(tx, ctx.workspace_id, body.policy_id, lock=True)
        if old.is_default and values["family_id"] != old.family_id:
            raise invalid(
                f"policy_family_id: {body.policy_id} is a default policy, and the family of a default policy cannot be changed; "
                f"give {old.family_id}, and policy_family_definition_overrides for what is to differ"
            )
        _unused(tx, ctx.workspace_id, values["name"], body.policy_id)
        known = tx.execute(select(table.c.policy_id).where(table.c.policy_id == body.policy_id)).first()
        if known is None:  # a default policy that nobody edited before
            tx.execute(
                insert(table).values(
                    policy_id=old.policy_id, workspace_id=ctx.workspace_id, is_default=True, creator=None,
                    created_at=old.created_at, **values,
                )
            )  # fmt: skip
        else:
            tx.execute(update(table).where(table.c.policy_id == body.policy_id).values(**values))


@endpoint("POST", f"{ROOT}/delete", action="clusterPolicies.delete")
def delete(ctx: Ctx, body: PolicyId) -> None:
    """Delete a policy. Clusters that have it can still run, and cannot be edited until they are given another one."""
    _admins_only(ctx)
    with ctx.transaction() as tx:
        old = store.find(tx, ctx.workspace_id, body.policy_id, lock=True)
        if old.is_default:
            raise invalid(f"policy_id: {body.policy_id} is a default policy, which cannot be deleted; take its permissions away")
        tx.execute(delete_rows(table).where(table.c.policy_id == body.policy_id))
        permissions.removed(tx, ctx.workspace_id, POLICIES.name, body.policy_id)


@endpoint("GET", f"{ROOT}/get", action="clusterPolicies.get")
def get(ctx: Ctx, query: PolicyId) -> Policy:
    """A policy that the caller may use."""
    with ctx.read() as reader:
        cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
        return _shown(store.usable(reader, ctx.caller, query.policy_id), cloud)


@endpoint("GET", f"{ROOT}/list", action="clusterPolicies.list")
def list_policies(ctx: Ctx, query: ListPoliciesQuery) -> ListPoliciesResponse:
    """The policies that the caller may use, the latest first; by name from A to Z when that is asked for."""
    by_name = query.sort_column == "POLICY_NAME"
    with ctx.read() as reader:
        cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
        found = store.all_usable(reader, ctx.caller)
    found.sort(key=lambda row: row.name.casefold())
    if not by_name:
        found.sort(key=lambda row: row.created_at)
    if (query.sort_order or ("ASC" if by_name else "DESC")) == "DESC":
        found.reverse()
    return ListPoliciesResponse([_shown(row, cloud) for row in found])


def _admins_only(ctx: Ctx) -> None:
    if not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can create, edit and delete cluster policies.")


def _values(ctx: Ctx, body: PolicyFields) -> dict[str, Any]:
    """The columns of what was sent. Raises ApiError for what cannot be."""
    name = body.name or ""
    if not 1 <= len(name) <= LONGEST_NAME or "\0" in name:
        raise invalid(f"name: {len(name)} characters are not allowed; give 1 to {LONGEST_NAME}, without a NUL character")
    if "\0" in (body.description or ""):
        raise invalid("description: a value cannot hold a NUL character")
    if body.max_clusters_per_user is not None and not 1 <= body.max_clusters_per_user <= LARGEST_NUMBER:
        raise invalid(f"max_clusters_per_user: {body.max_clusters_per_user} is not allowed; give 1 or more, or leave it out")
    first = next(_definition_problems(ctx, body), None) or next(_library_problems(body.libraries or []), None)
    if first is not None:
        raise invalid(first)
    libraries = [library_rules.document(library) for library in body.libraries or []]
    return {
        "name": name, "name_key": name.casefold(), "description": body.description, "definition": body.definition,
        "family_id": body.policy_family_id or None, "overrides": body.policy_family_definition_overrides,
        "libraries": libraries if body.libraries is not None else None, "max_clusters_per_user": body.max_clusters_per_user,
    }  # fmt: skip


def _definition_problems(ctx: Ctx, body: PolicyFields) -> Iterator[str]:
    overrides = "policy_family_definition_overrides"
    with ctx.read() as reader:
        known = families.families(ctx.service(Surroundings).cloud(reader, ctx.workspace_id))
    base = ""
    if body.policy_family_id:
        family = known.get(body.policy_family_id)
        if family is None:
            yield f"policy_family_id: {body.policy_family_id[:100]!r} is not allowed; give one of {', '.join(known)}"
            return
        if body.definition:
            yield f"definition: it does not go with policy_family_id; give {overrides} for what is to differ from the family"
        base = family.definition
    elif body.policy_family_definition_overrides:
        yield f"{overrides}: it goes with policy_family_id only; give definition"
    elif not body.definition:
        yield "Missing required field 'definition'. Give a JSON document as a text, or policy_family_id."
    field, text = ("definition", body.definition) if not base else (overrides, body.policy_family_definition_overrides)
    try:
        parse(text or "")
        parse(base, text or "")
    except MalformedDefinition as error:
        yield f"{field}: {error}"
    if "\0" in (text or ""):
        yield f"{field}: a value cannot hold a NUL character"


def _library_problems(libraries: list[Library]) -> Iterator[str]:
    if len(libraries) > MOST_LIBRARIES:
        yield f"libraries: {len(libraries)} are too many; at most {MOST_LIBRARIES} are allowed"
    for at, library in enumerate(libraries):
        yield from library_rules.violations(library, f"libraries[{at}]")


def _unused(tx: Tx, workspace_id: int, name: str, policy_id: str) -> None:
    """Names are unique in a workspace, the default policies' among them, without regard to case."""
    for row in store.all_of(tx, workspace_id):
        if row.name.casefold() == name.casefold() and row.policy_id != policy_id:
            raise already_exists(f"name: Cluster policy name {name!r} already exists; choose another name.")


def _shown(row: PolicyRow, cloud: str) -> Policy:
    return Policy(
        policy_id=row.policy_id, name=row.name, description=row.description, definition=row.whole(cloud),
        policy_family_id=row.family_id, policy_family_definition_overrides=row.overrides,
        libraries=None if row.libraries is None else msgspec.convert(row.libraries, list[Library]),
        max_clusters_per_user=row.max_clusters_per_user, is_default=row.is_default or None, creator_user_name=row.creator,
        created_at_timestamp=row.created_at or None,
    )  # fmt: skip


@endpoint("GET", "/api/2.0/policy-families", action="policyFamilies.list")
def list_families(ctx: Ctx, query: ListPolicyFamilies) -> ListPolicyFamiliesResponse:
    """The families, in pages where that is asked for."""
    size = query.max_results or len(_families(ctx))
    if size < 1:
        raise invalid(f"max_results: {query.max_results} is not allowed; give 1 or more")
    at = decode_token(query.page_token, int) if query.page_token else 0
    found = list(_families(ctx).values())
    page = found[max(0, at) :][:size]
    more = at + size < len(found)
    return ListPolicyFamiliesResponse(
        policy_families=[_family(each) for each in page], next_page_token=encode_token(at + size) if more else None
    )


@endpoint("GET", "/api/2.0/policy-families/{policy_family_id}", action="policyFamilies.get")
def get_family(ctx: Ctx, policy_family_id: str, query: PolicyFamilyQuery) -> PolicyFamily:
    """One family. There is one version of each."""
    if query.version not in (None, 1):
        raise _no_such_family(f"{policy_family_id}, version {query.version}")
    family = _families(ctx).get(policy_family_id)
    if family is None:
        raise _no_such_family(policy_family_id)
    return _family(family)


def _families(ctx: Ctx) -> dict[str, families.Family]:
    with ctx.read() as reader:
        return families.families(ctx.service(Surroundings).cloud(reader, ctx.workspace_id))


def _family(family: families.Family) -> PolicyFamily:
    return PolicyFamily(
        definition=family.definition, description=family.description, name=family.name, policy_family_id=family.family_id
    )


def _no_such_family(named: str) -> ApiError:
    return not_found(f"Can't find a policy family with id: {named[:100]}.")
