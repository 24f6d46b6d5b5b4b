"""Scala and R contexts: shells that the driver's JVM runs itself (`jvm/.../Shells.java`), one for each context and language.

Their commands are asked about as SQL statements are; what differs is that a shell takes a while to start, keeps state, and can
end by itself.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from boathouse.commands import results
from boathouse.commands.session import READY, STARTING, Answer, Phase, Standing
from boathouse.commands.sql_context import SqlSession, why_refused
from boathouse.dataplane.driver_http import DriverHttp

#: A shell that was ready is asked again whether it still is after so long, in seconds; after an error at once.
LOOK_AGAIN_S = 5.0

_NAMES = {"scala": "Scala", "r": "R"}


class ShellSession(SqlSession):
    """See `session.Session`. `options` is asked for when the shell is really to be opened."""

    def __init__(
        self,
        context_id: str,
        language: str,
        http: Callable[[], DriverHttp],
        options: Callable[[], Mapping[str, str]],
        started_before: bool,
        on_news: Callable[[], None],
    ) -> None:
        super().__init__(context_id, http, on_news)
        self._language, self._options, self._started_before = language, options, started_before
        self._more = {"language": language}
        self._seen_ready = -LOOK_AGAIN_S

    def prepare(self) -> Standing:
        if time.monotonic() - self._seen_ready < LOOK_AGAIN_S:
            return READY
        asked: dict[str, Any] = {"context": self._context_id, "language": self._language}
        status, answer = self._call("POST", "/sessions", {**asked, "peek": True})
        if status == 200 and answer.get("state") == "absent":
            if self._started_before:
                name = _NAMES[self._language]
                return Standing(Phase.ENDED, f"The {name} shell of this context is no longer there; create a new context.")
            status, answer = self._call("POST", "/sessions", {**asked, "options": dict(self._options())})
        if status == 503:
            return Standing(Phase.AWAY, why_refused(answer))
        if status != 200:
            return Standing(Phase.ENDED, f"the driver refused the session: {why_refused(answer)}")
        if answer["state"] == "ready":
            self._seen_ready, self._started_before = time.monotonic(), True
            return READY
        return STARTING if answer["state"] == "starting" else Standing(Phase.ENDED, answer["message"])

    def _as_answer(self, answer: dict[str, Any]) -> Answer:
        if answer.get("state") == "cancelled":
            return Answer("cancelled", results.failure("Command was cancelled"))
        told = results.from_shell(answer)
        if told["resultType"] == "error":
            self._seen_ready = -LOOK_AGAIN_S  # perhaps the shell itself has ended
        return Answer("finished", told)
