"""The secrets of roll-outs: references become values with somebody's rights, in memory alone, when a step needs them."""

from boathouse.compute.secrets_step import Resolver
from boathouse.images.registry_auth import Login
from boathouse.rollout.failures import StepFailed
from boathouse.wire.rollout import RegistryLogin
from boathouse.workspace.references import SecretError


class Vault:
    """The secrets of all workspaces, for steps of roll-outs."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def value(self, workspace_id: int, who: str, reference: str) -> str:
        """The value of a secret, as `who` may read it. Raises StepFailed, which names the reference."""
        try:
            return self._resolver.resolve(workspace_id, who, reference, why="rollouts.step")
        except SecretError as error:
            raise StepFailed(str(error)) from None

    def login(self, workspace_id: int, who: str, login: RegistryLogin | None) -> Login | None:
        """The login of a registry; None without one. Raises StepFailed."""
        return None if login is None else Login(login.username, self.value(workspace_id, who, login.password))
