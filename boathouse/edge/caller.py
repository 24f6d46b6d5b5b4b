"""Who is calling, as far as the edge needs to know. Filled in by the authenticator that `server.py` hands in."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """An authenticated principal. `name` is the user name or the application id; `groups` are the names of all groups it is in,
    direct or not, and `group_ids` their ids; `admin` means workspace admin, `account_admin` admin of the account. A caller of the
    account (of a path with `{account_id}`) has workspace 0, no `admin`, and the groups of the account only."""

    principal_id: int
    name: str
    kind: str
    workspace_id: int
    admin: bool = False
    account_admin: bool = False
    groups: frozenset[str] = frozenset()
    token_id: str | None = None
    account_id: str = ""
    group_ids: frozenset[int] = frozenset()

    @property
    def ids(self) -> list[int]:
        """The ids under which something may have been given to the caller: its own and those of its groups."""
        return [self.principal_id, *self.group_ids]


class Authenticator(Protocol):
    def __call__(self, headers: Mapping[str, str], host: str, source: str = "", account_id: str | None = None) -> Caller:
        """The caller behind a request, from its lower-cased headers, its host and the address that it comes from; with an
        `account_id`, as the account sees it. Raises ApiError (401, 403, 404 for an unknown workspace or account). It may have two
        methods more: `confirm(reader, caller)`, which raises ApiError when the caller's credential has ended since, and
        `admit(host, source, account_id)`, asked where no credential is needed, which raises ApiError for an address that may not
        call."""
        ...
