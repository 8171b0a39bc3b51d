"""The exported study in Optuna's own dashboard, in a real browser."""

from __future__ import annotations

import json
import threading
import urllib.request
import warnings
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import dasktune as dt


class Quiet(WSGIRequestHandler):
    """Answers without a word."""

    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture
def served():
    """Give what serves a study by Optuna's dashboard, and gives its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        from optuna_dashboard import wsgi
    servers: list[WSGIServer] = []

    def serve(path):
        storage = JournalStorage(JournalFileBackend(str(path)))
        server = make_server("127.0.0.1", 0, wsgi(storage), handler_class=Quiet)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.browser
def test_optunas_dashboard_shows_the_sweep(sweep, run_cli, served, tab, tmp_path):
    """Names, directions, states, values, curves and times are those of the dataset."""
    path = tmp_path / "study.log"
    assert run_cli(["results", "--to", "optuna", "--output", str(path)]).code == 0
    address = served(path)
    with urllib.request.urlopen(f"{address}/api/studies/0?after=0", timeout=30) as answer:
        told = json.load(answer)
    assert (told["name"], told["directions"]) == ("pipeline", ["maximize"])
    assert told["objective_names"] == ["accuracy"]
    attributes = {pair["key"]: pair["value"] for pair in told["user_attrs"]}
    assert attributes["space: width"] == "64, 128"
    assert attributes["about"] == "Does a wider layer help?"
    results = dt.open("dist/pipeline")
    dataset, best = results.dataset, results.best()
    for trial in told["trials"]:
        replicates = json.loads({p["key"]: p["value"] for p in trial["user_attrs"]}["trials"])
        rows = dataset.sel(trial=replicates)
        assert trial["state"] == "Complete"
        assert trial["values"] == pytest.approx([float(rows.objective.mean())])
        curve = [point["value"] for point in trial["intermediate_values"]]
        assert curve == pytest.approx(rows.accuracy.mean("trial").values.tolist())
    ends = {trial["datetime_complete"][:4] for trial in told["trials"]}
    assert ends == {str(dataset.finished.dropna("trial").max().values)[:4]}

    tab.open(f"{address}/dashboard/studies/0", height=1800)
    tab.wait("document.body.innerText.includes('Best Trial (number=')")
    tab.wait("document.querySelectorAll('.js-plotly-plot').length > 3")
    text = tab.text()
    assert str(best.mean) in text
    assert "log-uniform from 0.01 to 1, 3 points" in text
    tab.screenshot(tmp_path / "history.png")
    assert tab.errors == []


def test_a_config_that_failed_or_is_in_training_is_told_so(project, served, tmp_path):
    """At a time at which the sweep was on, not in 1970: the time line would show nothing."""
    (project.folder / "fail-2-4").touch()
    assert project.make("-i").code == 0
    dataset = project.dataset()
    status = dataset.status.copy()
    status[0] = "running"
    from dasktune.reading.study import save_study

    save_study(dataset.assign_coords(status=status), str(tmp_path / "study.log"))
    with urllib.request.urlopen(
        f"{served(tmp_path / 'study.log')}/api/studies/0?after=0", timeout=30
    ) as answer:
        trials = json.load(answer)["trials"]
    states = [trial["state"] for trial in trials]
    assert sorted(states) == ["Complete"] * (len(trials) - 2) + ["Fail", "Running"]
    year = str(dataset.finished.dropna("trial").max().values)[:4]
    assert {trial["datetime_start"][:4] for trial in trials} == {year}
