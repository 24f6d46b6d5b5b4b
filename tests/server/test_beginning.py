"""A server that cannot work does not stay up and answer."""

import pytest

from boathouse import server
from boathouse.server.control import ControlPlane
from boathouse.settings import load


def test_a_plane_that_cannot_begin_ends_the_server_with_the_reason(tmp_path, monkeypatch):
    def broken(self: ControlPlane) -> None:
        raise RuntimeError("the tunnel cannot listen")

    monkeypatch.setattr(ControlPlane, "start", broken)
    settings = load({"data": str(tmp_path / "data"), "port": 0, "driver": "simulated", "log_level": "error"}, {})
    with pytest.raises(server.StartError, match="cannot begin to work: the tunnel cannot listen"):
        server.up(settings, quiet=True)
    assert not (tmp_path / "data" / "ready.json").exists()
