"""The connection to one container engine: a pooled, low-level client, and what its failures mean.

The only module that knows the `docker` library's exceptions. The high-level client of that library asks the engine again
after each create; the launch counts milliseconds, so only the low-level one is used. The library is imported at the first
call, not at start-up (a quarter of a second).
"""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from boathouse.dataplane.contract import DriverUnavailable

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger("boathouse.dataplane.engine")

API_VERSION = "1.41"
TIMEOUT_SECONDS = 60.0
LIBPOD = "/v4.0.0/libpod"
HEALING_ATTEMPTS = 4
LOG_LINES = 1000
RECORD_ONLY = re.compile(r'getting container from store "([0-9a-f]{64})": container not known')


class EngineRefused(Exception):
    """The engine answered with an error. `status` is the HTTP status, `words` the engine's own explanation, bounded."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status, self.words = status, words

    @property
    def missing(self) -> bool:
        """There is no such thing. Podman says it with 500 of a container that goes between its two looks."""
        return self.status == 404 or self.words.endswith("no such container")

    @property
    def conflict(self) -> bool:
        """The thing exists already or is in use. Podman says some of these with 500."""
        return self.status == 409 or "already exists" in self.words or "already in use" in self.words


def bounded(words: str, limit: int = 300) -> str:
    """An engine's words on one line, not longer than `limit` characters; the end of a chain of causes says most."""
    flat = " ".join(words.split())
    return flat if len(flat) <= limit else "..." + flat[-(limit - 3) :]


class EngineClient:
    """One engine, by its address (`unix:///...` or `tcp://127.0.0.1:...`). Safe to use from many threads."""

    def __init__(self, address: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self._timeout = timeout
        self._lock = threading.Lock()
        self._api: APIClient | None = None
        self._server: tuple[str, str] | None = None

    @property
    def api(self) -> "APIClient":
        with self._lock:
            if self._api is None:
                import docker

                self._api = docker.APIClient(
                    base_url=self.address,
                    version=API_VERSION,
                    timeout=int(self._timeout),
                    num_pools=4,
                    max_pool_size=32,
                )
            return self._api

    @contextlib.contextmanager
    def calls(self) -> Iterator["APIClient"]:
        """Calls to the engine: its refusals become EngineRefused, its silence DriverUnavailable."""
        import docker.errors
        import requests.exceptions

        try:
            yield self.api
        except docker.errors.APIError as error:
            status = error.response.status_code if error.response is not None else 500
            raise EngineRefused(status, bounded(str(error.explanation or error))) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise DriverUnavailable(f"the container engine at {self.address} does not answer: {bounded(str(error))}") from error

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Around verbs that only look or remove: an engine that refuses those is confused now, and is asked again later."""
        try:
            yield
        except EngineRefused as refused:
            raise DriverUnavailable(f"the container engine refuses: {refused.words}") from refused

    @property
    def is_podman(self) -> bool:
        """Podman speaks a dialect of its own beside Docker's, which can do more."""
        return self.server[0] == "podman"

    @property
    def server(self) -> tuple[str, str]:
        """Kind (`podman` or `docker`) and version, from the headers of a ping: `version` and `info` make Podman run half a dozen
        programs, the latter for a third of a second."""
        if self._server is None:
            with self.calls() as api:
                headers = api.get(f"{api.base_url}/_ping", timeout=self._timeout).headers
            libpod = headers.get("Libpod-Api-Version")
            self._server = (
                ("podman", libpod) if libpod else ("docker", headers.get("Server", "Docker/?").partition("/")[2].split(" ")[0])
            )
        return self._server

    def libpod(self, method: str, path: str, **request: Any) -> Any:
        """A call in Podman's own dialect; the decoded answer."""
        with self.calls() as api:
            answer = api.request(method, api.base_url + LIBPOD + path, timeout=self._timeout, **request)
            if answer.status_code >= 400:
                raise EngineRefused(answer.status_code, bounded(_cause(answer)))
            return answer.json() if answer.content else None

    def inspect(self, name: str) -> dict[str, Any] | None:
        """A container as the engine sees it, or None when there is none."""
        try:
            return self._healing(lambda api: api.inspect_container(name))
        except EngineRefused as refused:
            if refused.missing:
                return None
            raise

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All containers with all of these labels (`key=value`), running or not. Filtered here too: engines differ in what
        several labels mean."""
        found = self._healing(lambda api: api.containers(all=True, filters={"label": list(labels)}))
        return [one for one in found if set(labels) <= {f"{key}={value}" for key, value in (one.get("Labels") or {}).items()}]

    def _healing(self, look: "Callable[[APIClient], Any]") -> Any:
        """Look at containers. A Podman that was killed while it removed one may have a record without a container, and then
        refuses every look that meets it; for a moment it does so while it removes one properly. So: look again, then remove
        the record."""
        for attempt in range(HEALING_ATTEMPTS):
            try:
                with self.calls() as api:
                    return look(api)
            except EngineRefused as refused:
                lost = RECORD_ONLY.search(refused.words)
                if lost is None or attempt == HEALING_ATTEMPTS - 1:
                    raise
                if attempt > 0:
                    log.warning("removing the record of a container that is gone: %s", refused.words)
                    self.remove(lost[1])
        raise AssertionError("unreachable")

    def create(self, name: str, config: dict[str, Any]) -> bool:
        """Create a container; False when there is one of that name already.

        A Podman that was killed in the middle keeps the name for a container that it does not know: that one is removed.
        """
        for attempt in (1, 2):
            try:
                with self.calls() as api:
                    api.create_container_from_config(config, name=name)
                return True
            except EngineRefused as refused:
                if not (refused.conflict and "name" in refused.words):
                    raise
                if self.inspect(name) is not None:
                    return False
                log.warning("%s is a name without a container: %s", name, refused.words)
                if attempt == 2 or not self.remove(name):
                    raise
        return False

    def start(self, name: str) -> None:
        """Start a container; one that runs already is left as it is."""
        with self.calls() as api:
            api.start(name)

    def log(self, name: str, limit: int) -> bytes:
        """The last `limit` bytes of what a container wrote; empty when there is none of that name."""
        try:
            with self.calls() as api:
                return api.logs(name, stdout=True, stderr=True, tail=LOG_LINES)[-limit:]
        except EngineRefused as refused:
            if refused.missing:
                return b""
            raise

    def remove(self, name: str) -> bool:
        """Kill and remove a container with its anonymous volumes; True when it is gone."""
        try:
            with self.calls() as api:
                api.remove_container(name, force=True, v=True)
        except EngineRefused as refused:
            return _gone(name, refused)
        return True

    def close(self) -> None:
        with self._lock:
            if self._api is not None:
                self._api.close()
                self._api = None


def _gone(name: str, refused: EngineRefused) -> bool:
    """Whether a refusal to remove means that there is nothing to remove. Otherwise it is tried again, and the log has the
    reason."""
    if not refused.missing:
        log.warning("%s cannot be removed yet: %s", name, refused.words)
    return refused.missing


def _cause(answer: Any) -> str:
    try:
        body = answer.json()
    except ValueError:
        return str(answer.text)
    return str(body.get("message") or body.get("cause") or body) if isinstance(body, dict) else str(body)
