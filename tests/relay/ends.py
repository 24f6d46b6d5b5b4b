"""Both ends of a tunnel for tests: a relay with what it was told, and a daemon that speaks the protocol as each test wants."""

import json
import os
import queue
import socket
from pathlib import Path
from typing import Any

from boathouse.relay import Relay

NODE = "0101-000000-abcdefgh-0-1"
PATIENCE_S = 20.0


class World:
    """A relay, what it told, and what its methods do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: queue.Queue[tuple[str, str, dict[str, Any]]] = queue.Queue()
        self.method: Any = lambda node_id, params, capability: [node_id, params, capability]
        self.verified: Any = lambda node_id, token: token == "token-of-" + node_id
        self.relay = Relay(
            root,
            lambda node_id, token: self.verified(node_id, token),
            lambda *event: self.events.put(event),
            {"method": lambda *given: self.method(*given), "quick.method": lambda *given: "quick"},
        )
        self.relay.start()
        self.relay.listen(NODE)

    def event(self, wanted: str) -> tuple[str, str, dict[str, Any]]:
        while True:
            event = self.events.get(timeout=PATIENCE_S)
            if event[1] == wanted:
                return event

    def dial(self, node_id: str = NODE) -> "Daemon":
        return Daemon(self.root / node_id / "relay.sock")

    def daemon(self, node_id: str = NODE) -> "Daemon":
        """One that has been welcomed."""
        daemon = self.dial(node_id)
        daemon.send(hello={"node_id": node_id, "token": "token-of-" + node_id, "boot": "b"})
        assert daemon.receive() == {"welcome": {}}
        self.event("connected")
        return daemon


class Daemon:
    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        folder = os.open(path.parent, os.O_PATH)  # the path itself may be too long for a socket's address
        self.sock.connect(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        self.file = self.sock.makefile("rb")

    def send(self, **message: Any) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> Any:
        line = self.file.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self.file.close()
        self.sock.close()
