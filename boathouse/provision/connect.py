"""The SDK's clients for a fleet: the workspace, and the account where the file asks for it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boathouse.provision.api import Pace, Place, Refused, SdkCalls
from boathouse.provision.fleet import AccountPlace, Fleet

#: Seconds for which the SDK repeats a call that the server puts off.
_PATIENCE = 900

#: Seconds for which each of the two questions is repeated by which a host is found to be there; an answer may take twice as long.
_KNOCK = 5


def place(fleet: Fleet, host: str | None, token: str | None, threads: int, pace: Pace) -> Place:
    """The place of a fleet. Without `host` and `token` the SDK finds them as it always does (environment, profile, Azure, ...).

    Raises Refused when there is no way in."""
    from databricks.sdk import AccountClient, WorkspaceClient
    from databricks.sdk.config import Config
    from databricks.sdk.errors.base import DatabricksError

    common: dict[str, Any] = {
        "max_connection_pools": threads, "max_connections_per_pool": threads, "retry_timeout_seconds": _PATIENCE, "clock": pace,
        "product": "boathouse-provision", "product_version": "0.1.0",
    }  # fmt: skip
    given = {"host": host, "token": token, "auth_type": "pat"} if host and token else {}
    try:
        _answers(given)
        workspace = WorkspaceClient(config=Config(**given, **common))
        workspace_id = str(workspace.get_workspace_id())
        account = None
        if fleet.account is not False:
            console = fleet.account if isinstance(fleet.account, AccountPlace) else AccountPlace()
            account_id = console.id or workspace.config.account_id
            if not account_id:
                raise Refused("", "the account's id is not known: say `account: {id: ..., host: ...}`")
            elsewhere = {} if console.host else given or {"host": workspace.config.host}
            where = {"host": console.host, "account_id": account_id} if console.host else {**elsewhere, "account_id": account_id}
            account = AccountClient(config=Config(**where, **common))
    except (DatabricksError, ValueError, TimeoutError, OSError) as error:
        raise Refused("", str(error)) from None
    known = SdkCalls(workspace, pace, workspace_id)
    if account is None:
        return Place(known, workspace.config.host or "", workspace_id)
    return Place(known, workspace.config.host or "", workspace_id, SdkCalls(account, pace), str(account.config.account_id))


def _answers(given: dict[str, Any]) -> None:
    """Raise Refused when nothing answers at the host: the SDK's own patience is for one that is there and busy."""
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.config import Config
    from databricks.sdk.errors.base import DatabricksError

    with _quiet("databricks.sdk"):  # it warns of the same
        config = Config(**given, retry_timeout_seconds=_KNOCK, http_timeout_seconds=2 * _KNOCK)
        try:
            WorkspaceClient(config=config).get_workspace_id()
        except DatabricksError:
            return  # it answers; what it says is for who asks next
        except (TimeoutError, OSError) as error:
            cause = error.__cause__ or error
            if not isinstance(cause, DatabricksError):
                silent = f"{config.host} does not answer; is it the right host, and does it run? ({cause})"
                raise Refused("", silent[:500]) from None


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
