"""`/api/2.0/instance-profiles`: the instance profiles that clusters of a workspace may name.

Admins add, change and remove them; whoever is given one as a role (SCIM, also by a group) may name it, and admins all. On one
machine a profile opens registries of Amazon's alone, with what the operator's settings let stand for it: see `registry_keys.py`.
"""

import re
from typing import Any

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from boathouse.compute.registry_keys import RegistryKeys, Unproved
from boathouse.compute.tables import instance_profiles as table
from boathouse.edge import Ctx, endpoint
from boathouse.edge.caller import Caller
from boathouse.edge.errors import already_exists, denied, invalid, not_found
from boathouse.identity import principals
from boathouse.store import Reader
from boathouse.wire.instance_profiles import (
    AddInstanceProfile,
    InstanceProfile,
    ListInstanceProfilesResponse,
    RemoveInstanceProfile,
)

ROOT = "/api/2.0/instance-profiles"
ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]{1,400}", re.ASCII)
ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]{1,400}", re.ASCII)


@endpoint("POST", f"{ROOT}/add", action="instanceProfiles.add")
def add(ctx: Ctx, body: AddInstanceProfile) -> None:
    """Register a profile. Where something stands for it, that is tried at AWS (sts:GetCallerIdentity) unless skip_validation."""
    _admins_only(ctx)
    _check(body.instance_profile_arn, body.iam_role_arn, body.is_meta_instance_profile)
    keys = ctx.services.find(RegistryKeys)
    if keys is not None and not body.skip_validation:
        try:
            keys.prove(body.instance_profile_arn, ctx.workspace_id, ctx.caller.name)
        except Unproved as error:
            raise invalid(f"instance_profile_arn: {error}; mend that, or give skip_validation true") from None
    try:
        with ctx.transaction() as tx:
            tx.execute(
                insert(table).values(workspace_id=ctx.workspace_id, arn=body.instance_profile_arn, role_arn=body.iam_role_arn)
            )
    except IntegrityError:
        raise already_exists(f"The instance profile {body.instance_profile_arn} is there already.") from None


@endpoint("POST", f"{ROOT}/edit", action="instanceProfiles.edit")
def edit(ctx: Ctx, body: InstanceProfile) -> None:
    """Name another IAM role of a profile; left out, it has none."""
    _admins_only(ctx)
    _check(body.instance_profile_arn, body.iam_role_arn, body.is_meta_instance_profile)
    with ctx.transaction() as tx:
        mine = _mine(ctx.workspace_id, body.instance_profile_arn)
        if not tx.execute(update(table).where(mine).values(role_arn=body.iam_role_arn)).rowcount:
            raise _missing(body.instance_profile_arn)


@endpoint("GET", f"{ROOT}/list", action="instanceProfiles.list")
def list_profiles(ctx: Ctx) -> ListInstanceProfilesResponse:
    """The profiles that the caller may name, by ARN."""
    with ctx.read() as reader:
        rows = reader.execute(select(table).where(table.c.workspace_id == ctx.workspace_id).order_by(table.c.arn)).all()
        if not ctx.caller.admin:
            mine = principals.workspace_roles_of(reader, ctx.caller.principal_id, ctx.workspace_id)
            rows = [row for row in rows if row.arn in mine]
    return ListInstanceProfilesResponse([InstanceProfile(row.arn, row.role_arn, False) for row in rows])


@endpoint("POST", f"{ROOT}/remove", action="instanceProfiles.remove")
def remove(ctx: Ctx, body: RemoveInstanceProfile) -> None:
    """No cluster may name it from now on; those that do go on."""
    _admins_only(ctx)
    with ctx.transaction() as tx:
        if not tx.execute(delete(table).where(_mine(ctx.workspace_id, body.instance_profile_arn))).rowcount:
            raise _missing(body.instance_profile_arn)


def usable(reader: Reader, caller: Caller, arn: str) -> bool:
    """Whether a cluster or pool of the caller may name this profile."""
    if reader.execute(select(table.c.arn).where(_mine(caller.workspace_id, arn))).first() is None:
        return False
    return caller.admin or arn in principals.workspace_roles_of(reader, caller.principal_id, caller.workspace_id)


def _mine(workspace_id: int, arn: str) -> Any:
    return and_(table.c.workspace_id == workspace_id, table.c.arn == arn)


def _check(arn: str, role_arn: str | None, meta: bool | None) -> None:
    if not ARN.fullmatch(arn):
        raise invalid(f"instance_profile_arn: {arn[:200]!r} is not of the form arn:aws:iam::<account>:instance-profile/<name>")
    if role_arn and not ROLE_ARN.fullmatch(role_arn):
        raise invalid(f"iam_role_arn: {role_arn[:200]!r} is not of the form arn:aws:iam::<account>:role/<name>")
    if meta:
        raise invalid(
            "is_meta_instance_profile: true (credential passthrough) is not served by Boathouse yet; give false, or leave it out"
        )


def _missing(arn: str) -> Exception:
    return not_found(f"The instance profile {arn[:200]} does not exist.")


def _admins_only(ctx: Ctx) -> None:
    if not ctx.caller.admin:
        raise denied("Only workspace admins can add, change and remove instance profiles.")
