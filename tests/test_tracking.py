"""Trackers are told of a run while it goes on, and can neither slow nor stop it."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

import dasktune as dt
from dasktune import tracking
from dasktune.config import Config, TrialSpec
from dasktune.outcome import Outcome
from dasktune.plan import Plan, Request, State, Target
from dasktune.store import Store
from dasktune.tracking import Tracking

# MLflow's own, of the libraries that it is built on.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SPEC = TrialSpec(Config({"a": 1}))


@pytest.fixture
def plan():
    """Give a plan of one trial."""
    target = Target(f"trained/{SPEC.id}", state=State.STALE, spec=SPEC)
    return Plan("toy", Request(), {target.name: target}, (SPEC,))


class Notes:
    """Writes down what it is told; fails, or waits, on command."""

    def __init__(self):
        self.told = []
        self.fails = ""
        self.gate = threading.Event()
        self.gate.set()

    def _note(self, *what):
        self.gate.wait(30)
        self.told.append(what)
        if what[0] == self.fails:
            raise ConnectionError("the server is gone")

    def start(self, trial, axes, when):
        self._note("start", trial, axes)

    def report(self, trial, epoch, metrics, when):
        self._note("report", trial, epoch, metrics)

    def complete(self, trial, rows, seen, times):
        self._note("complete", trial)

    def end(self, trial, status, error, when):
        self._note("end", trial, status, error)

    def flush(self):
        pass

    def close(self):
        self._note("close")


def started():
    """Give the event of the trial's start."""
    return {"event": "started", "target": f"trained/{SPEC.id}", "worker": "w"}


def report(epoch):
    """Give the event of an epoch's report."""
    return {"event": "report", "trial": SPEC.id, "epoch": epoch, "metrics": {"loss": 1.0 / epoch}}


def ended(status="failed"):
    """Give the event of the trial's end."""
    outcome = Outcome(f"trained/{SPEC.id}", "key", status=status, error="no")
    return {"event": "finished", "outcome": outcome}


def track(plan, tmp_path, **trackers):
    """Start to track; what is told to the user is in a list."""
    lines = []
    makers = {name: (lambda made=made: made) for name, made in trackers.items()}
    return Tracking(makers, plan, Store(str(tmp_path)), lines.append), lines


def test_a_tracker_is_told_of_start_reports_and_end_once(plan, tmp_path):
    """Whatever comes twice, too late, or of other targets."""
    notes = Notes()
    tracked, lines = track(plan, tmp_path, notes=notes)
    for event in (
        {"event": "started", "target": "preprocessed"},
        started(),
        report(1),
        report(1),
        report(2),
        {"event": "note", "text": "whatever"},
        ended(),
        report(3),
        ended(),
    ):
        tracked(event)
    tracked.close()
    assert [word for word, *_ in notes.told][:4] == ["start", "report", "report", "end"]
    assert notes.told[0] == ("start", SPEC.id, {"a": 1})
    assert notes.told[3] == ("end", SPEC.id, "failed", "no")
    assert notes.told[-1] == ("close",)
    assert [w[2] for w in notes.told if w[0] == "report"] == [1, 2]
    assert lines == []


def test_what_is_in_training_when_a_run_ends_is_closed_as_interrupted(plan, tmp_path):
    """So that no tracker shows it as running for ever."""
    notes = Notes()
    tracked, _ = track(plan, tmp_path, notes=notes)
    tracked(started())
    tracked.close()
    assert notes.told[1:] == [("end", SPEC.id, "interrupted", ""), ("close",)]


@pytest.mark.parametrize("fails", ["start", "report", "end", "close"])
def test_a_broken_tracker_is_told_of_once_and_hurts_no_other(plan, tmp_path, fails):
    """At whatever it breaks; it is asked nothing more."""
    bad, good = Notes(), Notes()
    bad.fails = fails
    tracked, lines = track(plan, tmp_path, bad=bad, good=good)
    for event in (started(), report(1), report(2), ended()):
        tracked(event)
    tracked.close()
    assert [word for word, *_ in good.told] == ["start", "report", "report", "end", "close"]
    assert bad.told[-1][0] == fails
    (line,) = lines
    assert line == (
        "--track bad failed (ConnectionError: the server is gone); the run goes on without it"
    )


def test_one_that_cannot_be_made_is_told_of_as_well(plan, tmp_path):
    """Such as one whose folder cannot be written."""

    def broken():
        raise PermissionError("not yours")

    lines = []
    tracked = Tracking({"x": broken}, plan, Store(str(tmp_path)), lines.append)
    tracked(started())
    tracked.close()
    assert lines == ["--track x failed (PermissionError: not yours); the run goes on without it"]


def test_a_slow_tracker_slows_nobody(plan, tmp_path, monkeypatch):
    """What is too much is left out, and told; what hangs is left behind."""
    monkeypatch.setattr(tracking, "MOST_WAITING", 10)
    monkeypatch.setattr(tracking, "FAREWELL", 0.2)
    slow = Notes()
    slow.gate.clear()
    tracked, lines = track(plan, tmp_path, slow=slow)
    tracked(started())
    for epoch in range(1, 1001):
        tracked(report(epoch))
    tracked.close()
    assert lines == ["trackers did not take everything within 0.2 s; the rest is lost"]
    slow.gate.set()
    tracked.close()
    assert "reports were too many for trackers" in lines[-1]
    assert 10 <= len([word for word, *_ in slow.told if word == "report"]) < 100


def test_a_run_that_is_over_first_waits_for_its_trackers(plan, tmp_path, monkeypatch):
    """They may still be imported then."""
    monkeypatch.setattr(tracking, "FAREWELL", 1.0)
    notes, lines = Notes(), []

    def maker():
        time.sleep(1.5)
        return notes

    tracked = Tracking({"notes": maker}, plan, Store(str(tmp_path)), lines.append)
    tracked(started())
    tracked.close()
    assert not lines
    assert next(word for word, *_ in notes.told) == "start"


def test_a_display_that_fails_leaves_trackers_alone(plan, tmp_path):
    """A closed terminal, say."""
    notes = Notes()
    tracked, _ = track(plan, tmp_path, notes=notes)
    asked = []

    def display(event):
        asked.append(event)
        raise BrokenPipeError

    observe = tracked.beside(display)
    for event in (started(), report(1), ended()):
        observe(event)
    tracked.close()
    assert len(asked) == 1
    assert [word for word, *_ in notes.told] == ["start", "report", "end", "close"]


def test_tensorboard_and_mlflow_hold_every_epoch_of_a_run(project, tmp_path, monkeypatch):
    """Trials of milliseconds too, of whose reports some are left out on the way; on workers."""
    monkeypatch.setattr(tracking, "FAREWELL", 100)  # on a busy machine
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (project.folder / "fail-2-4").touch()
    where = f"mlflow=sqlite:///{tmp_path}/mlflow.db"
    result = project.cli(
        *["make", "-i", "-j2", "epochs=30", "--track", f"tensorboard={tmp_path}/board"],
        *["--track", where],
    )
    assert result.code == 0, result.err
    assert "goes on without it" not in result.out
    dataset = project.dataset()
    good = [str(trial) for trial in dataset.trial.values if "a=2,b=4" not in str(trial)]
    (folder,) = (tmp_path / "board" / "toy").iterdir()
    assert len(list(folder.iterdir())) == 4
    for trial in good:
        events = EventAccumulator(str(folder / trial)).Reload()
        scores = [(scalar.step, scalar.value) for scalar in events.Scalars("score")]
        assert scores == list(enumerate(dataset.score.sel(trial=trial).values))
        assert "_hparams_/session_start_info" in events.summary_metadata
    client = MlflowClient(tracking_uri=where.removeprefix("mlflow="))
    experiment = client.get_experiment_by_name("toy").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert len(runs) == 4
    for trial in good:
        assert runs[trial].info.status == "FINISHED"
        history = client.get_metric_history(runs[trial].info.run_id, "score")
        scores = sorted((metric.step, metric.value) for metric in history)
        assert scores == list(enumerate(dataset.score.sel(trial=trial).values))
        a, b = (int(dataset[name].sel(trial=trial)) for name in "ab")
        assert runs[trial].data.params == {"a": str(a), "b": str(b)}
    (failed,) = (run for name, run in runs.items() if name not in good)
    assert failed.info.status == "FAILED"
    assert "told to fail" in failed.data.tags["error"]


def test_a_tracker_is_told_while_trials_are_in_training(project, tmp_path, monkeypatch):
    """An MLflow page shows a curve as it comes."""
    monkeypatch.setattr(tracking, "FLUSH_EVERY", 0.1)
    project.edit(
        "        trial.report(",
        "        while epoch == 3 and not os.path.exists(f'{HERE}/go'):\n"
        "            time.sleep(0.05)\n"
        "        trial.report(",
    )
    sweep = project.sweep(a=["1"], b=["3"], epochs=["5"])
    options = dt.Options("none", track=[f"mlflow=sqlite:///{tmp_path}/mlflow.db"])
    thread = threading.Thread(target=dt.make, args=(sweep, None, options))
    thread.start()
    deadline = time.monotonic() + 60
    while found(tmp_path) != ("RUNNING", 6) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found(tmp_path) == ("RUNNING", 6)  # two metrics, three epochs
    (project.folder / "go").touch()
    thread.join()
    assert found(tmp_path) == ("FINISHED", 10)


def found(folder):
    """Read the state of the only run, and how many metrics it has."""
    try:
        with sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True) as database:
            query = "select status, (select count(*) from metrics) from runs"
            return database.execute(query).fetchone()
    except sqlite3.OperationalError:
        return None  # not there yet


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("tensorbord", "Did you mean 'tensorboard'?"),
        ("", "--track takes mlflow or tensorboard, as in --track tensorboard=FOLDER"),
    ],
)
def test_a_tracker_that_does_not_exist_is_one_line(project, word, words):
    """Before anything is made."""
    result = project.make("--track", word)
    assert result.code == 2
    assert words in result.err
    assert project.ran() == []


def test_a_tracker_whose_library_is_missing_is_one_line(project, monkeypatch):
    """With the extra that brings it."""
    import sys

    for name in [n for n in sys.modules if n.startswith(("mlflow", "dasktune.trackers.mlflow"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.entities", None)
    result = project.make("--track", "mlflow")
    assert result.code == 2
    assert "pip install 'dasktune[mlflow]'" in result.err
    assert project.ran() == []
