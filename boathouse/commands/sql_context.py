"""SQL contexts: statements in the driver's JVM, one Spark session for each context.

The JVM holds the statements by our command ids, so it can be asked about them again after a restart of ours. While one runs, a
thread waits at the JVM for its end: that is the only thing here that is held between rounds.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from boathouse.commands import results
from boathouse.commands.session import READY, RUNNING, UNKNOWN, Answer, Phase, Standing
from boathouse.dataplane.contract import NodeError, NodeGone
from boathouse.dataplane.driver_http import DriverHttp

#: Rows of one result, as the platform shows at most.
MAX_ROWS = 10_000

#: How long the JVM may hold one question about a running statement, and how long we wait for the answer beyond that.
HOLD_MS, GRACE_S = 20_000, 10.0


class SqlSession:
    """See `session.Session`."""

    def __init__(
        self,
        context_id: str,
        http: Callable[[], DriverHttp],
        on_news: Callable[[], None],
        calls: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """`calls`: how the session calls the control plane, where SQL is the context's own language."""
        self._context_id, self._make_http, self._on_news, self._calls = context_id, http, on_news, calls
        self._more: dict[str, str] = {}
        self._http: DriverHttp | None = None
        self._opened = False
        self._closed = False
        self._lock = threading.Lock()
        self._watched: set[str] = set()
        self._ended: dict[str, Answer] = {}

    def prepare(self) -> Standing:
        if self._opened:
            return READY
        options = {"options": dict(self._calls())} if self._calls is not None else {}
        status, answer = self._call("POST", "/sessions", {"context": self._context_id, **options})
        if status == 503:
            return Standing(Phase.AWAY, why_refused(answer))
        if status != 200:
            return Standing(Phase.ENDED, f"the driver refused the session: {why_refused(answer)}")
        self._opened = True
        return READY

    def ask(self, command_id: str) -> Answer | None:
        if (known := self._ended.get(command_id)) is not None:
            return known
        return self._look(command_id, 0)

    def run(self, command_id: str, text: str, linger: float) -> Answer | None:
        body = {"context": self._context_id, "id": command_id, "statement": text, "max_rows": MAX_ROWS, **self._more}
        status, answer = self._call("POST", "/sql", body)
        if status != 202:
            raise NodeError(f"the driver refused a statement: {why_refused(answer)}")
        return self._look(command_id, round(linger * 1000))

    def cancel(self, command_id: str) -> None:
        status, answer = self._call("POST", "/cancel", {"id": command_id})
        if status not in (200, 404):
            raise NodeError(f"the driver refused to cancel a statement: {why_refused(answer)}")
        self._watch(command_id)

    def forget(self, command_id: str) -> None:
        """The JVM forgets by itself."""
        self._ended.pop(command_id, None)

    def end(self, running: str | None) -> bool:
        """Also ends the Spark jobs of a command of another language: its process may have died without."""
        if running is not None:
            self._call("POST", "/cancel", {"id": running})
        self._call("DELETE", f"/sessions/{quote(self._context_id)}")
        self.close()
        return True

    def close(self) -> None:
        self._closed = True

    def _as_answer(self, answer: dict[str, Any]) -> Answer:
        """The driver's word about an ended command."""
        state = "cancelled" if answer.get("state") == "cancelled" else "finished"
        return Answer(state, results.from_sql(answer))

    def _look(self, command_id: str, wait_ms: int) -> Answer:
        status, answer = self._call("GET", f"/sql/{quote(command_id)}?wait_ms={wait_ms}")
        if status == 404:
            return UNKNOWN
        if status != 200:
            raise NodeError(f"the driver refused to tell about a statement: {why_refused(answer)}")
        if answer.get("state") == "running":
            self._watch(command_id)
            return RUNNING
        return self._as_answer(answer)

    def _call(self, method: str, path: str, body: object = None, timeout: float = 10.0):
        if self._http is None:
            self._http = self._make_http()
        return self._http.call(method, path, body, timeout)

    def _watch(self, command_id: str) -> None:
        with self._lock:
            if command_id in self._watched or self._closed:
                return
            self._watched.add(command_id)
        threading.Thread(target=self._wait, args=(command_id,), name=f"sql-{command_id[:8]}", daemon=True).start()

    def _wait(self, command_id: str) -> None:
        """Ends when the statement has ended, or when the driver cannot be asked: either way a round should look."""
        try:
            running = True
            while running and not self._closed:
                path = f"/sql/{quote(command_id)}?wait_ms={HOLD_MS}"
                status, answer = self._call("GET", path, timeout=HOLD_MS / 1000 + GRACE_S)
                running = status == 200 and answer.get("state") == "running"
                if status == 200 and not running:
                    self._ended[command_id] = self._as_answer(answer)
        except NodeGone:
            pass  # the round that follows asks again, and says what it finds
        finally:
            with self._lock:
                self._watched.discard(command_id)
        if not self._closed:
            self._on_news()


def why_refused(answer: object) -> str:
    return str(answer.get("error", answer))[:500] if isinstance(answer, dict) else str(answer)[:500]
