"""HTTP to a port inside a node, through the node's tunnel: the control interface of a driver's JVM, Spark's own pages.

The one place for it. It knows addresses and the token, not what the calls mean.
"""

import http.client
import json
from typing import Any

from boathouse.dataplane.contract import Link, NodeError, NodeGone

#: The JVM keeps a statement's result under 20 MB; whatever claims to be much more is not it.
LARGEST_ANSWER = 64 << 20

#: How long the tunnel may take to make a stream, at most.
OPEN_SECONDS = 10.0


class DriverHttp:
    """One connection a call: the tunnel makes them in a millisecond, and a broken one never spoils the next call."""

    def __init__(self, link: Link, node_id: str, port: int, token: str = "") -> None:
        """Without `token` the calls carry none."""
        self._link, self._node_id, self._port, self._token = link, node_id, port, token

    def call(self, method: str, path: str, body: Any = None, timeout: float = 10.0) -> tuple[int, Any]:
        """Status and JSON answer. Raises NodeGone when the driver does not answer (in `timeout` seconds), whatever the cause."""
        headers = {"Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            sock = self._link.open(self._node_id, f"tcp:127.0.0.1:{self._port}", timeout=min(timeout, OPEN_SECONDS))
        except NodeError as error:
            raise NodeGone(f"the port {self._port} of {self._node_id} is closed: {error}") from None
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.sock = sock
        try:
            sock.settimeout(timeout)
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            raw = response.read(LARGEST_ANSWER)
            return response.status, json.loads(raw or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NodeGone(f"the driver did not answer {method} {path.partition('?')[0]}: {error!r}") from None
        finally:
            connection.close()
