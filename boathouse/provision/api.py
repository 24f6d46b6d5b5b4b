"""The calls that provisioning makes, through the Databricks SDK's own clients: authentication, retries and `Retry-After` are
the SDK's.

When the server says "too many" to one thread, the others wait as well: `Pace` is the clock that the SDK sleeps by, and a gate
before every call.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

#: How the clusters API says that there is none, under a code that says something else (reference api A).
_NO_CLUSTER = re.compile(r"Cluster \S+ does not exist")


class Refused(Exception):
    """A call did not do what it should. `exists` and `missing`: what the server said of the thing. `unsure`: it may have been
    done all the same (no answer came, or one of 500)."""

    def __init__(self, code: str, message: str, *, exists: bool = False, missing: bool = False, unsure: bool = False) -> None:
        self.code, self.message = code, message
        self.exists, self.missing, self.unsure = exists, missing, unsure
        super().__init__(f"{code}: {message}" if code else message)


class Calls(Protocol):
    """Calls of one plane. Tests give their own."""

    def do(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's document. Raises Refused."""


class Pace:
    """The clock of the SDK's retries: what one call must wait, all wait."""

    def __init__(self, clock: Any = time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0
        #: How often the server asked to be left alone.
        self.waits = 0

    def time(self) -> float:
        return self._clock.time()

    def sleep(self, seconds: float) -> None:
        """The SDK waits before a retry."""
        with self._lock:
            self.waits += 1
            self._until = max(self._until, self.time() + seconds)
        self.wait()

    def wait(self) -> None:
        """Before each call: until nobody has to wait."""
        while True:
            with self._lock:
                left = self._until - self.time()
            if left <= 0:
                return
            self._clock.sleep(left)


class SdkCalls:
    """Calls by a client of the SDK (WorkspaceClient or AccountClient)."""

    def __init__(self, client: Any, pace: Pace, workspace_id: str = "") -> None:
        self._client, self._pace = client.api_client, pace
        self._headers = {"X-Databricks-Workspace-Id": workspace_id} if workspace_id else {}

    def do(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None) -> Any:
        from databricks.sdk import errors
        from databricks.sdk.errors.base import DatabricksError

        self._pace.wait()
        headers = {"Accept": "application/json", **self._headers}
        try:
            return self._client.do(method, path, query=dict(query or {}) or None, headers=headers, body=body)
        except DatabricksError as error:
            code = str(error.error_code or "")
            exists = isinstance(error, errors.ResourceConflict | errors.AlreadyExists) or "ALREADY_EXISTS" in code
            missing = isinstance(error, errors.NotFound) or "DOES_NOT_EXIST" in code or bool(_NO_CLUSTER.match(str(error)))
            unsure = isinstance(error, errors.InternalError | errors.DeadlineExceeded)
            raise Refused(code, str(error), exists=exists, missing=missing, unsure=unsure) from None
        except (TimeoutError, OSError, ValueError) as error:
            cause = error.__cause__ or error
            raise Refused("", f"{type(cause).__name__}: {cause}", unsure=True) from None


class Place:
    """A workspace, and the account it is in when people are made there."""

    def __init__(
        self, workspace: Calls, host: str, workspace_id: str, account: Calls | None = None, account_id: str = ""
    ) -> None:
        self.workspace, self.host, self.workspace_id = workspace, host, workspace_id
        self._account, self.account_id = account, account_id

    @property
    def name(self) -> str:
        return f"{self.host} workspace {self.workspace_id}"

    @property
    def account(self) -> Calls:
        if self._account is None:
            raise Refused("", "the fleet file does not say `account: true`, and this needs the account")
        return self._account

    @property
    def account_root(self) -> str:
        return f"/api/2.0/accounts/{self.account_id}"

    @property
    def assignments(self) -> str:
        return f"{self.account_root}/workspaces/{self.workspace_id}/permissionassignments"

    def directory(self) -> tuple[Calls, str]:
        """The plane in which users and groups are made, and its SCIM root."""
        if self._account is not None:
            return self._account, f"{self.account_root}/scim/v2"
        return self.workspace, "/api/2.0/preview/scim/v2"


def scim(calls: Calls, path: str, query: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """All resources of a SCIM list, until a page is empty or the total is reached."""
    start = 1
    while True:
        page = calls.do("GET", path, {**(query or {}), "startIndex": start, "count": 10_000})
        resources = page.get("Resources") or []
        yield from resources
        start += len(resources)
        if not resources or start > int(page.get("totalResults") or 0):
            return


def paged(calls: Calls, path: str, field: str, query: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """All items of a list with page tokens; an empty page with a token is not the end."""
    token = ""
    while True:
        page = calls.do("GET", path, {**(query or {}), **({"page_token": token} if token else {})})
        yield from page.get(field) or []
        token = page.get("next_page_token") or ""
        if not token:
            return
