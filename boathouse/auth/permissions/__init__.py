"""Permissions on objects of a workspace: `/api/2.0/permissions/{type}/{id}` (reference api D).

A room that has objects declares its type once and gets the endpoints of it:

    CLUSTERS = permissions.declare(permissions.ObjectType("clusters", "cluster", LEVELS, find))
    get, put, patch, levels = permissions.endpoints(CLUSTERS, __name__)   # in a module that `server.control` lists

and then asks `level` or `allows` wherever it looks a row up, says `created` in the transaction that makes one, `removed` in the
one that removes it, and `passed` when it becomes another's.
"""

from boathouse.auth.permissions.kinds import CAN_MANAGE, IS_OWNER, Grant, Level, ObjectType, declare, declared, kind_of
from boathouse.auth.permissions.lists import allows, created, ids_of, ids_values, level, passed, rank_in, removed
from boathouse.auth.permissions.served import endpoints

__all__ = [
    "CAN_MANAGE", "IS_OWNER", "Grant", "Level", "ObjectType", "allows", "created", "declare", "declared", "endpoints", "ids_of",
    "ids_values", "kind_of", "level", "passed", "rank_in", "removed",
]  # fmt: skip
