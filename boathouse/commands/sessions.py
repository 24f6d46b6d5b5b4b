"""The live sessions of this process, and how each kind is made. Only a cache of connections: losing it loses nothing."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from boathouse.commands.capabilities import Capabilities
from boathouse.commands.ground import DriverSecrets, Ground
from boathouse.commands.python_context import CannotStart, PythonSession, Start
from boathouse.commands.session import Session
from boathouse.commands.shell_context import ShellSession
from boathouse.commands.sql_context import SqlSession
from boathouse.commands.target import Target
from boathouse.compute.endpoint import NotServing
from boathouse.dataplane.contract import NodeGone
from boathouse.dataplane.driver_http import DriverHttp
from boathouse.releases.arguments import RUNTIME, repl_argv

#: Where a context's own file is put (tmpfs).
CONTEXT_FILE = "/run/boathouse/contexts/{}.json"
NODE_SOCKET = "/run/boathouse/node.sock"
WORKING_DIRECTORY = "/databricks/driver"


class Sessions:
    def __init__(self, ground: Ground, capabilities: Capabilities, on_news: Callable[[str], None]) -> None:
        """`on_news(context_id)`: a round should look at this context."""
        self._ground, self._capabilities, self._on_news = ground, capabilities, on_news
        self._lock = threading.Lock()
        self._by_context: dict[str, dict[str, Session]] = {}

    def of(self, context: Any, target: Target, language: str) -> Session:
        """The session of this context for this language, made when there is none yet: a context may run several."""
        with self._lock:
            mine = self._by_context.setdefault(context.context_id, {})
            session = mine.get(language)
            if session is None:
                if language == "python":
                    session = self._python(context, target)
                elif language == "sql":
                    session = SqlSession(
                        context.context_id, self._http(target), self._news(context.context_id),
                        self._calls(context) if context.language == "sql" else None,
                    )  # fmt: skip
                else:
                    session = self._shell(context, target, language)
                mine[language] = session
            return session

    def all_of(self, context_id: str) -> dict[str, Session]:
        with self._lock:
            return dict(self._by_context.get(context_id, {}))

    def drop(self, context_id: str) -> None:
        with self._lock:
            gone = self._by_context.pop(context_id, {})
        for session in gone.values():
            session.close()

    def close(self) -> None:
        """Let go of everything; the contexts live on in their nodes."""
        for context_id in list(self._by_context):
            self.drop(context_id)

    def _news(self, context_id: str) -> Callable[[], None]:
        return lambda: self._on_news(context_id)

    def _driver(self, target: Target) -> DriverSecrets:
        try:
            return self._ground.launches.driver(target.cluster_id)
        except NotServing as error:
            raise NodeGone(str(error)) from None

    def _http(self, target: Target) -> Callable[[], DriverHttp]:
        def http() -> DriverHttp:
            port = target.spark.get("http_port")
            if not port:
                raise NodeGone("the driver has not said where its control interface is")
            token = self._driver(target).token
            return DriverHttp(self._ground.link, target.node_id, int(port), token)

        return http

    def _calls(self, context: Any) -> Callable[[], dict[str, str]]:
        """How the context's own process calls the control plane: asked for when that process is really opened."""
        return lambda: {"socket": NODE_SOCKET, "capability": self._capabilities.mint(context.context_id)}

    def _shell(self, context: Any, target: Target, language: str) -> Session:
        own = context.language == language

        def options() -> dict[str, str]:
            # The capability of a context is that of its own language's process.
            calls = self._calls(context)() if own else {"socket": NODE_SOCKET, "capability": ""}
            return {**calls, "program": target.r} if language == "r" else calls

        return ShellSession(
            context.context_id, language, self._http(target), options,
            started_before=own and context.status == "Running", on_news=self._news(context.context_id),
        )  # fmt: skip

    def _python(self, context: Any, target: Target) -> Session:
        context_id, path = context.context_id, CONTEXT_FILE.format(context.context_id)

        def start() -> Start:
            port = target.spark.get("gateway_port")
            if not port:
                raise NodeGone("the driver has not said where its Py4J gateway is")
            driver = self._driver(target)
            try:
                given = self._ground.launches.environment(target.cluster_id)
            except NotServing as error:
                raise CannotStart(str(error)) from None
            return Start(
                argv=repl_argv(target.python),
                env={**given, **_python_path(given), "BOATHOUSE_CONTEXT_FILE": path},
                cwd=WORKING_DIRECTORY,
                settings={
                    "context": context_id,
                    "capability": self._capabilities.mint(context_id),
                    "gateway_port": int(port),
                    "gateway_secret": driver.gateway_secret,
                    "socket": NODE_SOCKET,
                },
            )

        return PythonSession(
            context_id,
            target.node_id,
            self._ground.link,
            path,
            started_before=context.language == "python" and context.status == "Running",
            make_start=start,
            on_news=self._news(context_id),
        )


def _python_path(given: Mapping[str, str]) -> dict[str, str]:
    """The runtime's PySpark comes first; what the customer set stays behind it."""
    theirs = [given["PYTHONPATH"]] if given.get("PYTHONPATH") else []
    if theirs and theirs[0].split(":")[0] == f"{RUNTIME}/python":
        theirs = theirs[0].split(":")[1:]
    return {"PYTHONPATH": ":".join([f"{RUNTIME}/python", *theirs]), "SPARK_HOME": RUNTIME}
