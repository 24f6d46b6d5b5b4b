"""`dbutils` of a command context. What it serves it asks the control plane for, through the daemon's node.sock, with the
context's capability; what is not served yet says so by name.
"""

from __future__ import annotations

import base64
import json
import socket
from collections import namedtuple

from repl_fs import FileSystem
from repl_notebook import Library, Notebook, Widgets

#: Seconds a call may take: longer than the daemon waits for the control plane.
PATIENCE_S = 130.0
MAX_ANSWER = 16 << 20


class ExecutionError(Exception):
    """A call of dbutils that the platform refused, in its words."""


class NotServedYet(Exception):
    """A function of dbutils that Boathouse does not serve yet."""


class NodeSocket:
    """Calls to the control plane, each on a connection of its own: safe from any thread and after a fork."""

    def __init__(self, path: str, capability: str) -> None:
        self._path, self._capability = path, capability

    def call(self, method: str, params: dict):
        """The result; ExecutionError when refused, or when the platform cannot be reached."""
        line = json.dumps({"id": 1, "method": method, "params": params, "capability": self._capability})
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(PATIENCE_S)
                sock.connect(self._path)
                sock.sendall(line.encode("utf-8") + b"\n")
                answer = bytearray()
                while not answer.endswith(b"\n"):
                    data = sock.recv(64 << 10)
                    if not data or len(answer) > MAX_ANSWER:
                        raise ExecutionError(f"{method}: the platform closed the connection")
                    answer += data
        except OSError as error:
            raise ExecutionError(f"{method}: the platform cannot be reached: {error}") from None
        response = json.loads(bytes(answer).decode("utf-8"))
        if "error" in response:
            raise ExecutionError(response["error"].get("message") or response["error"].get("code") or "refused")
        return response.get("result")


SecretMetadata = namedtuple("SecretMetadata", ["key"])
SecretScope = namedtuple("SecretScope", ["name"])


class Secrets:
    """dbutils.secrets: secret values, as far as the context's principal may read them."""

    def __init__(self, node: NodeSocket, learn) -> None:
        self._node, self._learn = node, learn

    def get(self, scope: str, key: str) -> str:
        """The value of a secret as text."""
        return self.getBytes(scope, key).decode("utf-8", "replace")

    def getBytes(self, scope: str, key: str) -> bytes:
        """The value of a secret."""
        found = self._node.call("secrets.get", {"scope": scope, "key": key})
        value = base64.b64decode(found["bytes"]) if "bytes" in found else found["value"].encode("utf-8")
        self._learn(value.decode("utf-8", "replace"))
        return value

    def list(self, scope: str) -> list:
        """The keys of a scope."""
        return [SecretMetadata(entry["key"]) for entry in self._node.call("secrets.list", {"scope": scope})]

    def listScopes(self) -> list:
        """The scopes that can be read."""
        return [SecretScope(entry["name"]) for entry in self._node.call("secrets.listScopes", {})]

    def __repr__(self) -> str:
        return "dbutils.secrets: get(scope, key), getBytes(scope, key), list(scope), listScopes()"


class _Later:
    """A part of dbutils that is not served yet: any use of it says so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotServedYet(f"dbutils.{self._name}.{name} is not served by Boathouse yet")

    def __repr__(self) -> str:
        return f"dbutils.{self._name}: not served by Boathouse yet"


class DBUtils:
    """`dbutils`."""

    def __init__(self, node: NodeSocket, learn) -> None:
        self.secrets, self.fs = Secrets(node, learn), FileSystem(node)
        self.widgets, self.notebook, self.library = Widgets(), Notebook(), Library()
        for name in ("credentials", "data", "jobs", "meta", "preview"):
            setattr(self, name, _Later(name))

    def __repr__(self) -> str:
        return "dbutils: fs, library, notebook, secrets, widgets"

    def help(self, *_) -> None:
        """Say what is there."""
        for part in (self.fs, self.secrets, self.widgets, self.notebook, self.library):
            print(part)
        for name, part in vars(self).items():
            if isinstance(part, _Later):
                print(f"dbutils.{name}: not served yet")
