"""How a command finds the server: DATABRICKS_HOST and DATABRICKS_TOKEN as the SDK does, then DIR/ready.json."""

import argparse
import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from boathouse.cli import Failed
from boathouse.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that talks to a server."""
    parser.add_argument("--host", help="the server; default: DATABRICKS_HOST, then the data directory's ready.json")
    parser.add_argument("--token", help="the token; default: DATABRICKS_TOKEN, then the data directory's ready.json")
    parser.add_argument("--data", help="the data directory")


@dataclass(frozen=True)
class Connection:
    """A server and the right to talk to it."""

    host: str
    token: str

    def get(self, path: str) -> Any:
        """GET a JSON document. Raises Failed with the server's own message."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """Send a JSON document, where there is one, and give the answer's. Raises Failed with the server's own message."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.host + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failed(_message(error)) from None
        except OSError as error:
            raise Failed(f"{self.host} does not answer ({error}); is `boathouse up` running?") from None


def cluster_id(server: Connection, named: str) -> str:
    """The id of a cluster that is named by its id, or by its name where there is one of that name. Raises Failed."""
    if re.fullmatch(r"\d{4}-\d{6}-[a-z0-9]+", named):
        return named
    same, token = [], ""
    while True:
        page = server.get(f"/api/2.1/clusters/list?{urlencode({'page_size': 100, 'page_token': token})}")
        same += [each for each in page.get("clusters", ()) if each.get("cluster_name") == named]
        token = page.get("next_page_token", "")
        if not token:
            break
    if not same:
        raise Failed(f"there is no cluster with the id or the name '{named}' that you may see")
    if len(same) > 1:
        which = "\n".join(f"  {each['cluster_id']}  {each['state']}  of {each.get('creator_user_name', '')}" for each in same)
        raise Failed(f"there are {len(same)} clusters with the name '{named}'; which? Give an id:\n{which}")
    return same[0]["cluster_id"]


def connect(options: argparse.Namespace) -> Connection:
    """The connection that the options, the environment or a ready file give. Raises Failed when there is none."""
    host = options.host or os.environ.get("DATABRICKS_HOST")
    token = options.token or os.environ.get("DATABRICKS_TOKEN")
    if not host or not token:
        file = load({"data": options.data}).data / "ready.json"
        try:
            ready = json.loads(file.read_text())
        except (OSError, ValueError):
            raise Failed(
                f"no server: set DATABRICKS_HOST and DATABRICKS_TOKEN, or start `boathouse up` ({file} is not there)"
            ) from None
        if host and _bare(host) != ready["host"]:
            raise Failed(f"no token for {host}: set DATABRICKS_TOKEN, or give --token ({file} has that of {ready['host']})")
        host, token = ready["host"], token or ready["token"]
    return Connection(_bare(host), token)


def _bare(host: str) -> str:
    """As the SDK reads a host: https unless it says otherwise, and no slash at the end."""
    return (host if "://" in host else f"https://{host}").rstrip("/")


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return json.load(error)["message"]
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
