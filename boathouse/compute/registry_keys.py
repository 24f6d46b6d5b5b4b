"""What opens the registry of a launch's image: the user and password of the wish, or the cluster's instance profile.

A registry of Amazon's without `basic_auth` is opened by the AWS credentials that the operator's settings let stand for the
profile: a secret scope that the cluster's last editor may read, or the machine's own. Called by `images_step.py`; asks nobody
before a key is used, and then each time.
"""

from collections.abc import Mapping
from typing import Protocol

from boathouse.compute.secrets_step import Values
from boathouse.dataplane.contract import Credentials, Key, NodeFailure, Renewable
from boathouse.images import references, registry_ecr
from boathouse.images.failures import ImageFailure
from boathouse.images.registry_ecr import Secret, Tokens
from boathouse.wire.compute import ClusterSpec
from boathouse.workspace.clouds.places import CloudError
from boathouse.workspace.clouds.store import KEYS, credential
from boathouse.workspace.references import Secrets

#: In place of a secret scope: the credentials that boto3 finds on the machine; `machine@1+2`: in these workspaces alone.
MACHINE = "machine"


class Wish(Protocol):
    """As much of a launch's inputs as is needed here."""

    @property
    def spec(self) -> ClusterSpec: ...
    @property
    def values(self) -> Values: ...
    @property
    def workspace_id(self) -> int: ...
    @property
    def editor(self) -> str: ...


class Unproved(Exception):
    """What stands for an instance profile is not taken by AWS, or cannot be read."""


class RegistryKeys:
    """`profiles`: ARN of an instance profile -> secret scope, `machine` or `machine@WORKSPACE+WORKSPACE`. One for the
    control plane; any thread."""

    def __init__(
        self, secrets: Secrets | None = None, tokens: Tokens | None = None, profiles: Mapping[str, str] | None = None
    ) -> None:
        self._secrets, self._tokens, self._profiles = secrets, tokens or Tokens(), profiles or {}

    def of(self, wish: Wish) -> Key:
        """The key, or None where nothing opens the registry. Raises NodeFailure where the settings let nothing stand for the
        instance profile of a registry of Amazon's."""
        values = wish.values
        if values.login:
            return Credentials(values.username, values.password)
        docker, attributes = wish.spec.docker_image, wish.spec.aws_attributes
        profile = attributes.instance_profile_arn if attributes else None
        place = registry_ecr.place(references.parse(docker.url).host) if docker and docker.url else None
        if place is None or not profile:
            return None
        scope = self._stands(profile, wish.workspace_id)
        if scope is None:
            raise NodeFailure(
                "DOCKER_IMAGE_PULL_FAILURE",
                f"No credentials stand for the instance profile {profile} in this workspace: an operator can name some, setting "
                f"instance_profile_credentials with {profile}=SCOPE.",
            )

        def get(renew: bool) -> Credentials:
            try:
                return self._tokens.get(place, self._secret(scope, wish.workspace_id, wish.editor), renew)
            except ImageFailure as failure:
                raise NodeFailure(failure.code, failure.text) from None
            except CloudError as error:
                raise NodeFailure("SECRET_PERMISSION_DENIED", f"The instance profile {profile}: {error.message}.") from None

        return Renewable(f"{profile} {wish.workspace_id} {wish.editor}", get)

    def prove(self, profile: str, workspace_id: int, principal: str) -> None:
        """Ask AWS who it is that stands for a profile; nothing where nobody does. Raises Unproved."""
        scope = self._stands(profile, workspace_id)
        if scope is None:
            return
        try:
            self._tokens.identify(self._secret(scope, workspace_id, principal))
        except ImageFailure as failure:
            raise Unproved(failure.text) from None
        except CloudError as error:
            raise Unproved(error.message) from None

    def _stands(self, profile: str, workspace_id: int) -> str | None:
        """The scope, or `machine`, that stands for a profile there; None where nothing does."""
        named = self._profiles.get(profile)
        only = None if named is None else workspaces(named)
        if only is None:
            return named
        return MACHINE if str(workspace_id) in only else None

    def _secret(self, scope: str, workspace_id: int, editor: str) -> Secret:
        if scope == MACHINE:
            return None
        assert self._secrets is not None, "settings name scopes only where there are secrets"
        return credential(self._secrets, scope, KEYS["s3"], workspace_id, editor, "instanceProfiles.credential")


def workspaces(named: str) -> tuple[str, ...] | None:
    """The workspaces of `machine@1+2`; None for what no workspace is named with (pure)."""
    place, at, only = named.partition("@")
    return tuple(only.split("+")) if at and place == MACHINE else None
