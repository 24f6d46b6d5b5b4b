"""What travels at `/api/2.0/instance-profiles`; the names are the API's own."""

from boathouse.wire.base import Wire


class InstanceProfile(Wire):
    instance_profile_arn: str
    iam_role_arn: str | None = None
    is_meta_instance_profile: bool | None = None


class AddInstanceProfile(Wire):
    instance_profile_arn: str
    iam_role_arn: str | None = None
    is_meta_instance_profile: bool | None = None
    skip_validation: bool | None = None


class RemoveInstanceProfile(Wire):
    instance_profile_arn: str


class ListInstanceProfilesResponse(Wire):
    instance_profiles: list[InstanceProfile]
