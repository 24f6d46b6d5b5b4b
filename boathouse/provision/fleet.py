"""The fleet file: a YAML document that says what is wanted once, and what for each person. Read strictly; knows no server.

A field that is not known is refused by its path. Templates may hold `${variables}`; `templates` fills them.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from boathouse.provision import form
from boathouse.provision.problems import FleetError, Problem

#: A document longer than this is not a fleet file.
LARGEST = 4 << 20

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A part of the file: an unknown field is an error."""


class PeopleSource(Part):
    """Where people come from. `user` and `name` name the columns of a file whose header says nothing that is known."""

    file: str
    user: str = ""
    name: str = ""


class AccountPlace(Part):
    """The account console's host and id; left out: the workspace's own."""

    host: str | None = None
    id: str | None = None


class Group(Part):
    """A group; the name is its display name."""

    name: Name
    entitlements: list[str] = []


class Catalog(Part):
    name: Name
    comment: str | None = None
    storage_root: str | None = None


class Schema(Part):
    """`name` is `catalog.schema`."""

    name: Name
    comment: str | None = None


class Policy(Part):
    """A cluster policy: `definition`, or a family with overrides. With the name alone it must be there already."""

    name: Name
    definition: dict[str, Any] | None = None
    policy_family_id: str | None = None
    policy_family_definition_overrides: dict[str, Any] | None = None
    description: str | None = None
    max_clusters_per_user: int | None = None


class Grant(Part):
    """Privileges on a securable: `on` is its type and full name (`schema main.ann`). `to` is the person unless it says
    otherwise."""

    on: str
    privileges: Annotated[list[str], msgspec.Meta(min_length=1)]
    to: str = ""


class Permission(Part):
    """A level on an object: `on` is its type and name (`cluster ann`, `cluster-policy Personal Compute`, `instance-pool p`).

    The principal is the person unless `user`, `group` or `service_principal` says otherwise."""

    on: str
    level: str
    user: str = ""
    group: str = ""
    service_principal: str = ""


class Budget(Part):
    """A budget of the account for what carries `tags`; `monthly` is the list price at which it is reached. `notify`
    is refused by name."""

    name: Name
    monthly: str | int | float
    tags: dict[str, str]
    notify: list[str] = []


class Templates(Part):
    """What is wanted, once or for each person. A cluster's fields are those of `clusters.create`; `policy` may name a policy
    in the place of `policy_id`."""

    catalogs: list[Catalog] = []
    schemas: list[Schema] = []
    policies: list[Policy] = []
    clusters: list[dict[str, Any]] = []
    grants: list[Grant] = []
    permissions: list[Permission] = []
    budgets: list[Budget] = []


class Once(Templates):
    groups: list[Group] = []


class Each(Templates):
    """`assignment` is the role in the workspace, where people are made in the account."""

    groups: list[str] = []
    entitlements: list[str] = []
    assignment: Literal["USER", "ADMIN"] = "USER"


class Start(Part):
    """What becomes of clusters that are made: `none` stops them at once, `stagger` starts `wave` at a time, `all` starts all.

    `then`: whether a started cluster is left to its idleness or stopped. `idle_minutes`: every cluster's autotermination."""

    clusters: Literal["none", "stagger", "all"] = "none"
    wave: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 8
    then: Literal["leave", "stop"] = "leave"
    idle_minutes: Annotated[int, msgspec.Meta(ge=10, le=10_000)] | None = None


class Fleet(Part):
    """The whole file."""

    fleet: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    people: str | PeopleSource | list[dict[str, Any]]
    variables: dict[str, str | int | float | bool] = {}
    account: bool | AccountPlace = False
    once: Once = msgspec.field(default_factory=Once)
    each: Each = msgspec.field(default_factory=Each)
    start: Start = msgspec.field(default_factory=Start)

    @property
    def in_account(self) -> bool:
        """Whether people are made in the account and assigned to the workspace."""
        return self.account is not False


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would let the last one win; reads `on`, `no` and dates as text (YAML 1.2)."""

    yaml_implicit_resolvers = {
        letter: [each for each in resolvers if not each[0].endswith((":bool", ":timestamp"))]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not a text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF"))
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def document(text: str, name: str) -> Any:
    """A YAML document. Raises FleetError with the line."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise FleetError([Problem(where, f"{error.problem or error}")]) from None
    except yaml.YAMLError as error:
        raise FleetError([Problem(name, str(error).replace("\n", " "))]) from None


def load(path: Path, problems: list[Problem]) -> Fleet:
    """Read a fleet file. Every field that is wrong is added to `problems` and left out (`form.Missing` where it is needed).
    Raises FleetError for a file of which nothing can be read."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FleetError([Problem(str(path), error.strerror or str(error))]) from None
    if len(raw) > LARGEST:
        raise FleetError([Problem(path.name, f"{len(raw)} bytes are too many for a fleet file; at most {LARGEST}")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FleetError([Problem(path.name, f"is not UTF-8 (byte {error.start})")]) from None
    content = document(text, path.name)
    if not isinstance(content, dict):
        raise FleetError([Problem(path.name, f"is {type(content).__name__}, not a mapping of fields")])
    return form.converted(content, Fleet, lambda at, what: problems.append(Problem(path.name, f"{what} - at `{at}`")))
