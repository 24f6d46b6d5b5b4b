"""The driver's control interface without a driver, for tests of commands."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakeJvm:
    """The driver's control interface: statements end when the test says so (`ends`), or at once with what `answers` has."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.sessions: list[str] = []
        self.calls_of: dict[str, dict] = {}
        self.removed: list[str] = []
        self.statements: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        #: Shells (Scala, R) by context and language, with what they were opened with; what `standing` says they are.
        self.shells: dict[tuple[str, str], Any] = {}
        self.standing: dict[str, Any] = {"state": "ready", "message": ""}
        self.changed = threading.Condition()
        jvm = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def answer(self, status: int, body: Any) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                if self.headers["Authorization"] != f"Bearer {jvm.token}":
                    self.answer(401, {"error": "the token is missing or wrong"})
                else:
                    self.answer(*jvm.serve(self.command, urlsplit(self.path), body))

            do_GET = do_POST = do_DELETE = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, method: str, url: Any, body: dict[str, Any]) -> tuple[int, Any]:
        head, _, rest = url.path[1:].partition("/")
        with self.changed:
            if (method, head) == ("POST", "sessions"):
                if "language" not in body:
                    self.sessions.append(body["context"])
                    self.calls_of[body["context"]] = body.get("options", {})
                    return 200, {}
                key = (body["context"], body["language"])
                if body.get("peek") and key not in self.shells:
                    return 200, {"state": "absent", "message": ""}
                self.shells.setdefault(key, body.get("options"))
                return 200, self.standing
            if (method, head) == ("DELETE", "sessions"):
                self.removed.append(rest)
                self.shells = {key: options for key, options in self.shells.items() if key[0] != rest}
                return 200, {"removed": True}
            if (method, head) == ("POST", "sql"):
                if body["id"] not in self.statements:
                    self.texts[body["id"]] = body["statement"]
                    self.statements[body["id"]] = self.answers.get(body["statement"], {"state": "running"})
                    self.changed.notify_all()
                return 202, {}
            if (method, head) == ("POST", "cancel"):
                self.ends(body["id"], {"state": "cancelled"})
                return 200, {}
            if rest not in self.statements:
                return 404, {"error": f"no statement '{rest}'"}
            wait = int(parse_qs(url.query).get("wait_ms", ["0"])[0]) / 1000
            self.changed.wait_for(lambda: self.statements[rest]["state"] != "running", wait)
            return 200, self.statements[rest]

    def ends(self, command_id: str, answer: dict[str, Any]) -> None:
        with self.changed:
            self.statements[command_id] = answer
            self.changed.notify_all()
