"""Workers of this machine."""

from __future__ import annotations

import socket
import warnings

from dasktune.cluster import Demand, connect, local


def test_two_sweeps_that_start_together_do_not_fight_over_a_port(monkeypatch):
    """The port looked free, but another one has taken it: the address is told, and no warning."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(local, "DASHBOARD_PORT", port)
        assert local.dashboard_address() == "127.0.0.1:0"
        monkeypatch.setattr(local, "_free", lambda port: True)
        with warnings.catch_warnings(record=True) as told:
            with connect("local", Demand(jobs=1)) as connection:
                link = connection.client.dashboard_link
    assert link.startswith("http://127.0.0.1:")
    assert f":{port}/" not in link
    assert [str(warning.message) for warning in told] == []
