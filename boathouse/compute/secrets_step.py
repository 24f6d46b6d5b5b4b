"""The secrets of a launch: references in the wish become values, with the rights of whoever wrote it last.

Values live in the memory of this process for as long as the launch does, and on the nodes' tmpfs; never in the store,
an event, a log or a container's configuration. Called by `launch_inputs.py`. A refusal names the reference, never a
value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from boathouse.compute.world import Failure
from boathouse.wire.compute import ClusterSpec
from boathouse.workspace import references
from boathouse.workspace.references import SecretDenied, SecretError, SecretMissing


class Resolver(Protocol):
    """`workspace.references.Secrets` has this shape."""

    def resolve(self, workspace_id: int, principal: str, reference: str, why: str = ...) -> str: ...


@dataclass(frozen=True)
class Values:
    """A specification's settings with their secrets in place. Never printed: its repr shows no value."""

    spark_conf: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_vars: Mapping[str, str] = field(default_factory=dict, repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    #: Every value that came from a secret, to be taken out of logs and results.
    values: frozenset[str] = field(default=frozenset(), repr=False)
    #: Keys of `spark_conf` whose values came from secrets.
    redacted_keys: tuple[str, ...] = ()

    @property
    def login(self) -> bool:
        return bool(self.username or self.password)


class Refused(Exception):
    """The launch cannot have what it needs; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def resolve(
    spec: ClusterSpec, workspace_id: int, principal: str, resolver: Resolver, password: str, of_registry: str = ""
) -> Values:
    """The values of a wish. `password`: the registry password as opened by whoever sealed it, or a reference; `of_registry`:
    whose rights resolve it, where that is another one.

    Raises Refused: INVALID_ARGUMENT for a reference to nothing, SECRET_PERMISSION_DENIED without the right to read it,
    SECRET_RESOLUTION_ERROR otherwise (reference api A).
    """
    known: dict[tuple[str, str], str] = {}

    def value(text: str, where: str, who: str = principal) -> str:
        if not references.looks_like(text):
            return text
        if (who, text) not in known:
            try:
                known[who, text] = resolver.resolve(workspace_id, who, text, why="clusters.launch")
            except SecretError as error:
                raise Refused(_failure(error, where)) from None
        return known[who, text]

    conf, keys = {}, []
    for key, text in (spec.spark_conf or {}).items():
        conf[key] = value(text, f"spark_conf {key}")
        if conf[key] is not text:
            keys.append(key)
    env = {name: value(text, f"spark_env_vars {name}") for name, text in (spec.spark_env_vars or {}).items()}
    auth = spec.docker_image.basic_auth if spec.docker_image else None
    username = auth.username or "" if auth else ""
    opened = value(password, "docker_image.basic_auth.password", of_registry or principal) if auth else ""
    hidden = frozenset(text for text in (*known.values(), opened) if text)
    return Values(conf, env, username, opened, hidden, tuple(keys))


def _failure(error: SecretError, where: str) -> Failure:
    if isinstance(error, SecretMissing):
        code = "INVALID_ARGUMENT"
    elif isinstance(error, SecretDenied):
        code = "SECRET_PERMISSION_DENIED"
    else:
        code = "SECRET_RESOLUTION_ERROR"
    return Failure(code, f"{error} (asked for by {where}).", step="secrets")
