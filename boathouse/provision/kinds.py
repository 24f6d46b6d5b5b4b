"""The words of the platform that a fleet file may use: types of objects with their levels, types of securables, privileges.

Told before anything is asked of a server, so that a misspelt word does not fail once for each person. Types and levels are those
of reference api D; securables and privileges are the SDK's.
"""

from functools import cache

from boathouse.provision.form import meant

_FILES = ("CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE")
_VIEWED = ("CAN_READ", "CAN_VIEW", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE")
_MODELS = ("CAN_READ", "CAN_EDIT", "CAN_MANAGE_STAGING_VERSIONS", "CAN_MANAGE_PRODUCTION_VERSIONS", "CAN_MANAGE")
_WAREHOUSES = ("CAN_VIEW", "CAN_MONITOR", "CAN_USE", "CAN_MANAGE", "IS_OWNER")
_USED = ("CAN_USE", "CAN_MANAGE")

#: By type, as it is in the path of the permissions API: the levels.
LEVELS: dict[str, tuple[str, ...]] = {
    "clusters": ("CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"),
    "cluster-policies": ("CAN_USE",),
    "instance-pools": ("CAN_ATTACH_TO", "CAN_MANAGE"),
    "jobs": ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"),
    "pipelines": ("CAN_VIEW", "CAN_RUN", "CAN_MANAGE", "IS_OWNER"),
    **dict.fromkeys(("notebooks", "directories", "files", "repos"), _FILES),
    **dict.fromkeys(("sql/warehouses", "warehouses"), _WAREHOUSES),
    **dict.fromkeys(("authorization/tokens", "authorization/passwords"), _USED),
    "authorization": _USED,
    "experiments": ("CAN_READ", "CAN_EDIT", "CAN_MANAGE"),
    "registered-models": _MODELS,
    "serving-endpoints": ("CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"),
    **dict.fromkeys(("dashboards", "dbsql-dashboards", "sql/queries", "sql/alerts", "alertsv2", "genie"), _VIEWED),
    **dict.fromkeys(("apps", "vector-search-endpoints", "database-instances", "database-projects"), _USED),
}


def wrong_object(kind: str) -> str:
    """Why there are no permissions on objects of this type; empty where there are."""
    if kind in LEVELS:
        return ""
    return f"there are no permissions on a {kind!r}{meant(kind.replace('-', '_'), [each.replace('-', '_') for each in LEVELS])}"


def wrong_level(kind: str, level: str) -> str:
    """Why a type has no such level; empty where it has."""
    return "" if level in LEVELS[kind] else f"the level {level!r} is none of {kind}; there are {', '.join(LEVELS[kind])}"


def wrong_securable(kind: str) -> str:
    """Why nothing can be granted on securables of this type; empty where it can."""
    return "" if kind in _securables() else f"there is no securable of type {kind!r}{meant(kind, _securables())}"


def wrong_privilege(privilege: str) -> str:
    """Why there is no such privilege; empty where there is."""
    return "" if privilege in _privileges() else f"there is no privilege {privilege!r}{meant(privilege, _privileges())}"


@cache
def _securables() -> frozenset[str]:
    from databricks.sdk.service.catalog import SecurableType

    return frozenset(each.value.lower() for each in SecurableType)


@cache
def _privileges() -> frozenset[str]:
    from databricks.sdk.service.catalog import Privilege

    return frozenset(each.value for each in Privilege)
