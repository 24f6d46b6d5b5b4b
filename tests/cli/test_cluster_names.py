"""A cluster by its name in the place of its id."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from boathouse.cli import Failed, connection, main

ANN, BOB, EVE = "1123-120000-aaaaaaaa", "1123-120000-bbbbbbbb", "1123-120000-eeeeeeee"


class Server:
    """Three clusters, a page each."""

    named = [(ANN, "ann's", "RUNNING"), (BOB, "lab", "TERMINATED"), (EVE, "lab", "PENDING")]

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, path: str) -> Any:
        self.asked.append(urlsplit(path).path)
        if not path.startswith("/api/2.1/clusters/list?"):
            return {"cluster_id": ANN, "state": "RUNNING", "state_message": "", "steps": []}
        at = int(parse_qs(urlsplit(path).query).get("page_token", ["0"])[0])
        cluster_id, name, state = self.named[at]
        shown = {"cluster_id": cluster_id, "cluster_name": name, "state": state, "creator_user_name": "bob@x.org"}
        return {"clusters": [shown], "next_page_token": str(at + 1) if at < 2 else ""}


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setattr(connection, "connect", lambda options: made)
    return made


def test_a_name_that_is_one_clusters(server, capsys):
    assert main(["why", "ann's"]) == 0
    assert f"{ANN} is RUNNING" in capsys.readouterr().out
    assert server.asked[-1] == f"/api/2.0/boathouse/clusters/{ANN}/why"


def test_an_id_is_not_looked_for(server):
    assert main(["why", BOB]) == 0
    assert server.asked == [f"/api/2.0/boathouse/clusters/{BOB}/why"]


def test_a_name_of_several_says_which(server, capsys):
    assert main(["why", "lab"]) == 1
    said = capsys.readouterr().err
    assert "there are 2 clusters with the name 'lab'; which?" in said
    assert f"{BOB}  TERMINATED  of bob@x.org" in said and f"{EVE}  PENDING" in said and ANN not in said


def test_a_name_of_none(server):
    with pytest.raises(Failed, match="there is no cluster with the id or the name 'Lab'"):
        connection.cluster_id(server, "Lab")  # type: ignore[arg-type]
