"""What travels at `/api/2.0/permissions/*`; the names are the API's own."""

from boathouse.wire.base import Wire


class AccessControlRequest(Wire):
    """Exactly one of the names is given; `service_principal_name` is an application id."""

    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None
    permission_level: str | None = None


class ChangePermissions(Wire):
    """The body of PUT and PATCH. Without a list, PUT takes everything away that was given, and PATCH changes nothing."""

    access_control_list: list[AccessControlRequest] | None = None


class Permission(Wire):
    permission_level: str
    inherited: bool | None = None
    inherited_from_object: list[str] | None = None


class AccessControlResponse(Wire):
    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None
    display_name: str | None = None
    all_permissions: list[Permission] = []


class ObjectPermissions(Wire):
    """`object_id`: `/clusters/<id>`; `object_type`: `cluster`."""

    object_id: str
    object_type: str
    access_control_list: list[AccessControlResponse]


class PermissionsDescription(Wire):
    permission_level: str
    description: str


class PermissionLevels(Wire):
    permission_levels: list[PermissionsDescription]
