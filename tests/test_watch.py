"""Watching a run from elsewhere, following its logs, stopping its trials: through files alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import dasktune as dt
from dasktune.attempt import Attempt
from dasktune.board import Board
from dasktune.cli import main
from dasktune.look import Look, look
from dasktune.outcome import Outcome
from dasktune.runfolder import RunFolder, run_folders
from dasktune.sofar import SoFar, dense
from dasktune.trial import _LOOK_FOR_END_EVERY
from dasktune.watch import Watch

SLOW = """
import logging
import os
import time

import xarray as xr

import dasktune as dt

HERE = os.path.dirname(__file__)


class Counter:
    def __init__(self):
        self.count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def preprocess():
    return {"train": xr.Dataset()}


def train(trial, data, epochs=4, saves=True):
    counter = Counter()
    if saves:
        trial.checkpoint(counter=counter)
    print("training", trial.id)
    logging.getLogger("user").info("a is %s", trial.config.a)
    for epoch in trial.epochs(epochs):
        counter.count += 1
        trial.report(score=trial.config.a + counter.count)
        print("epoch", epoch)
        while os.path.exists(f"{HERE}/hold-{trial.config.a}") and epoch == 1:
            open(f"{HERE}/held-{trial.config.a}", "w").close()
            time.sleep(0.02)


space = dt.Space(a=dt.choice(10, 20))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")
"""


def until(condition, seconds=60):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Slow:
    """A sweep of two trials in a process of its own, of which some hold in epoch 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "dist" / "slow"
        (folder / "slow.py").write_text(SLOW)
        self.options = ["-f", str(folder / "slow.py"), "--store", str(folder / "dist")]
        self.process: subprocess.Popen[str] | None = None

    def start(self, *words: str, hold: tuple[int, ...] = (10,)) -> None:
        """Start to make; return when the trials hold."""
        for a in hold:
            (self.folder / f"hold-{a}").touch()
        command = [sys.executable, "-m", "dasktune", "make", *self.options, *words]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        until(lambda: all((self.folder / f"held-{a}").exists() for a in hold))

    def release(self, a: int) -> None:
        """Let a trial go on."""
        (self.folder / f"hold-{a}").unlink()

    def wait_for_a_look(self, a: int) -> None:
        """Wait until a trial that holds will look whether it is to end when it goes on."""
        held = (self.folder / f"held-{a}").stat().st_mtime
        until(lambda: time.time() - held > _LOOK_FOR_END_EVERY + 0.2)

    def end(self) -> tuple[int, str]:
        """Wait for the end; give the exit code and all that was said."""
        assert self.process is not None
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out

    def told(self) -> dict:
        """Read what the run tells."""
        return next((run.told() for run in run_folders(str(self.root)) if run.told()), {})


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Give a sweep that holds, and end it afterwards."""
    monkeypatch.chdir(tmp_path)
    sweep = Slow(tmp_path)
    yield sweep
    for held in tmp_path.glob("hold-*"):
        held.unlink()
    if sweep.process is not None and sweep.process.poll() is None:
        sweep.process.send_signal(signal.SIGKILL)
        sweep.process.wait()


def test_a_run_tells_how_it_stands_in_one_file(slow, run_cli):
    """And --watch shows it until the run is over, in plain lines when piped."""
    slow.start("--cluster", "none")
    until(lambda: slow.told().get("counts") == {"running": 1, "waiting": 1})
    row = next(row for row in slow.told()["rows"])
    assert row["id"].startswith("a=10-")
    assert (row["epoch"], row["epochs"], row["value"]) == (2, 4, 12.0)
    (folder,) = (slow.root / "runs").iterdir()
    files = {path.name for path in folder.iterdir() if path.suffix != ".tmp"}
    assert files <= {"live.json", "curves.json", "attempts"}
    command = [sys.executable, "-m", "dasktune", "status", "--watch", *slow.options]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first = watching.stdout.readline()
    assert first.startswith("1 running, 1 waiting")
    slow.release(10)
    assert slow.end()[0] == 0
    rest, _ = watching.communicate(timeout=60)
    assert rest.endswith("the run is over\n")
    assert watching.returncode == 0
    assert run_cli(["status", "--watch", *slow.options]).out == f"nothing runs in {slow.root}\n"


def test_a_dead_driver_is_noticed(slow, run_cli):
    """Not watched for ever; exit code 2."""
    slow.start("--cluster", "none")
    until(lambda: slow.told().get("counts", {}).get("running"))
    slow.process.kill()
    slow.process.wait()
    result = run_cli(["status", "--watch", *slow.options])
    assert result.code == 2
    assert f"driver (process {slow.process.pid}) is gone" in result.out


def test_half_written_and_foreign_files_are_no_news(tmp_path):
    """They are read again at the next look."""
    folder = RunFolder(str(tmp_path / "runs" / "r"))
    folder.create()
    live = Path(folder.path, "live.json")
    seen = Look(folder)
    for text in ("", '{"counts"', "[]", '{"from": "another version"}'):
        live.write_text(text)
        assert not seen.again()
        assert seen.board is None
        assert not seen.over
    seen.render()


@pytest.mark.parametrize("text", ['{"rows": [{"id": 3}], "pipeline": null}', '{"cou'])
def test_a_run_that_cannot_be_read_is_given_up(tmp_path, monkeypatch, text):
    """Of another version, or damaged: it is not watched for ever."""
    monkeypatch.setattr("dasktune.look.UNREAD_AFTER", 0.0)
    folder = RunFolder(str(tmp_path / "runs" / "r"))
    folder.create()
    seen = Look(folder)
    Path(folder.path, "live.json").write_text(text)
    until(lambda: seen.again() or seen.over, 10)
    assert seen.over.endswith("is damaged, or of another version of dasktune")


def test_status_watch_draws_the_live_display_in_a_terminal(slow):
    """With the epoch and the metric."""
    slow.start("--cluster", "none")
    until(lambda: slow.told().get("counts", {}).get("running"))
    main_end, other_end = os.openpty()
    words = [sys.executable, "-m", "dasktune", "status", "--watch", *slow.options]
    shown = subprocess.Popen(words, stdout=other_end, env={**os.environ, "COLUMNS": "100"})
    os.close(other_end)
    seen = ""

    def drawn():
        nonlocal seen
        seen += os.read(main_end, 65536).decode()
        return re.search(r"a=10-\w+ +epoch 2/4 +score 12", seen)

    until(drawn)
    slow.release(10)
    threading.Thread(target=lambda: [*iter(lambda: _read(main_end), b"")], daemon=True).start()
    assert shown.wait(60) == 0


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_a_log_is_followed_live_to_its_end(slow):
    """Prints and logging of INFO, on a worker; the file moves while it is read."""
    slow.start("-j1", "a=10")
    command = [sys.executable, "-m", "dasktune", "logs", "a=10", "-f", *slow.options]
    reading = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = [reading.stdout.readline() for _ in range(4)]
    assert lines[0].startswith("training a=10-")
    assert "INFO user: a is 10" in lines[1]
    assert lines[2:] == ["epoch 0\n", "epoch 1\n"]
    slow.release(10)
    rest, _ = reading.communicate(timeout=60)
    assert rest == "epoch 2\nepoch 3\n"
    assert reading.returncode == 0
    assert slow.end()[0] == 0


def test_a_stopped_trial_is_left_at_its_checkpoint_and_has_no_stamp(slow, run_cli):
    """The others go on; the next make goes on with it; the result is that of a whole training."""
    slow.start("--cluster", "none")
    until(lambda: "a=10" in str(slow.told().get("rows")))
    slow.wait_for_a_look(10)
    told = run_cli(["stop", "a=10", *slow.options])
    assert re.fullmatch(r"asked a=10-\w{8} to end at its next epoch\n", told.out)
    slow.release(10)
    code, out = slow.end()
    assert code == 2
    assert "stopped by request after 2 epochs" in out
    assert "'make' goes on with it, 'make -o trained/a=10-" in out
    assert [path.name[:4] for path in (slow.root / "trained").iterdir()] == ["a=20"]
    assert not (slow.root / "collated.zarr").exists()
    assert "epoch 1" in run_cli(["logs", "a=10", *slow.options]).out
    plan = json.loads(run_cli(["plan", "--json", *slow.options]).out)
    (reason,) = [t["reason"] for t in plan["targets"] if t["name"].startswith("trained/a=10")]
    assert reason == "stopped by request last time"
    assert run_cli(["make", "--cluster", "none", *slow.options]).code == 0
    dataset = dt.open_results(slow.root)
    assert dataset.sel(trial=dataset.a == 10).score.values.tolist() == [[11, 12, 13, 14]]
    assert "epoch 0" not in run_cli(["logs", "a=10", *slow.options]).out  # it was resumed


def test_with_ignore_errors_a_stopped_trial_keeps_its_curve_without_an_objective(slow, run_cli):
    """Also one without a checkpoint; on a worker."""
    slow.start("-j2", "-i", "saves=False")
    until(lambda: "a=10" in str(slow.told().get("rows")))
    slow.wait_for_a_look(10)
    assert run_cli(["stop", "a=10", *slow.options]).code == 0
    slow.release(10)
    code, out = slow.end()
    assert code == 0, out
    dataset = dt.open_results(slow.root)
    assert dataset.status.values.tolist() == ["stopped", "ok"]
    assert dataset.score.values[0].tolist()[:2] == [11, 12]
    assert dataset.objective.isnull().values.tolist() == [True, False]
    assert dataset.error.values[0] == "stopped by request after 2 epochs"


def test_stopping_what_does_not_run_is_an_error(project):
    """With the nearest one that does."""
    result = project.cli("stop", "a=1,b=3")
    assert result.code == 2
    assert "no trial runs in" in result.err
    run = RunFolder(str(project.root / "runs" / "r"))
    run.create()
    for name in ("a=1,b=3-12345678-cafe", "a=1,b=4-12345678-cafe"):
        Attempt(run, name)
    assert "Did you mean 'a=1,b=4-12345678'" in project.cli("stop", "a=1,b=5").err
    assert "is the beginning of 2 running trials" in project.cli("stop", "a=1").err
    assert project.cli("stop", "a=1,b=4").code == 0
    assert Path(run.end_flag("a=1,b=4-12345678")).exists()


def test_a_display_that_fails_ends_and_the_run_goes_on(project):
    """A closed notebook, a broken pipe."""
    seen = []

    def observe(event):
        seen.append(event["event"])
        if event["event"] == "started":
            raise BrokenPipeError

    summary = dt.make(project.sweep(), None, dt.Options(cluster="none"), observe)
    assert summary.exit_code == 0
    assert seen == ["plan", "started"]


@pytest.fixture
def watched(project, tmp_path):
    """Give the watch over a run of a sweep that is not made, a trial, and what is told of it."""
    sweep = project.sweep()
    plan, seen = sweep.plan(), []
    board = Board.of(plan, sweep.pipeline.objective, "ours", str(project.root), 0.0)
    watch = Watch(board, plan, RunFolder(str(tmp_path / "r")), seen.append)
    return watch, next(iter(board.rows)), seen


def test_messages_of_other_runs_on_the_scheduler_are_not_ours(watched):
    """Two sweeps on one scheduler."""
    watch, trial, seen = watched
    message = {"event": "started", "target": f"trained/{trial}", "worker": "w"}
    watch.from_scheduler({**message, "run": "theirs"})
    watch.from_scheduler(["no", "message"])
    assert seen == []
    watch.from_scheduler({**message, "run": "ours"})
    watch({"event": "finished", "outcome": Outcome(f"trained/{trial}", "k", value=1.0)})
    watch({"event": "finished", "outcome": Outcome(f"trained/{trial}", "k", value=2.0)})
    assert [event["event"] for event in seen] == ["started", "finished"]


def test_a_late_word_of_an_earlier_rung_is_not_the_end_of_the_next(watched):
    """The worker's message comes when the driver has gone on; the budgets have their own keys."""
    watch, trial, seen = watched
    first, second = (Outcome(f"trained/{trial}", key, value=1.0) for key in ("k1", "k3"))
    watch({"event": "finished", "outcome": first})
    watch({"event": "rung", "trials": {trial: {}}, "budget": 3, "plan": None})
    late = [{"event": "ended", "outcome": vars(first)}]
    late += [{"event": "started", "target": f"trained/{trial}"}]
    watch.from_scheduler({"event": "events", "events": late, "device": "", "run": "ours"})
    watch({"event": "finished", "outcome": second})
    assert [event["event"] for event in seen] == ["finished", "rung", "started", "finished"]
    assert seen[-1]["outcome"].key == "k3"


def test_what_the_scheduler_repeats_of_our_own_words_is_not_told_twice(watched):
    """A rung without its plan would end the display."""
    watch, trial, seen = watched
    watch({"event": "rung", "trials": {trial: {}}, "budget": 3, "plan": None})
    for words in (
        {"event": "rung", "trials": {trial: {}}, "budget": 3},
        {"event": "kept", "trials": {}},
        {"event": "ended", "outcome": vars(Outcome(f"trained/{trial}", "k"))},
        {"event": "over", "how": "ended"},
        {"event": "announced", "board": {}, "client": "c"},
    ):
        watch.from_scheduler({**words, "run": "ours"})
    watch.from_scheduler({"event": "note", "text": "of a worker, to all"})
    assert [event["event"] for event in seen] == ["rung", "note"]
    assert not watch.board.over


def test_kept_trials_are_told_by_the_objective_of_now(project):
    """Their stamps were written when another metric was the objective."""
    project.make("a=2")
    project.edit('objective="max score"', 'objective=("min noise", "max score")')
    seen = []
    assert dt.make(project.sweep(), None, dt.Options(cluster="none"), seen.append).exit_code == 0
    kept = {k: v for e in seen if e["event"] == "kept" for k, v in e["trials"].items()}
    assert len(kept) == 2
    noise = project.dataset().noise.isel(epoch=-1)
    for trial, known in kept.items():
        assert known["value"] == float(noise.sel(trial=trial))
        assert known["values"][1] in (24.0, 25.0)


def test_kept_trials_count_for_the_best_so_far(project):
    """A resumed sweep knows what was reached before."""
    project.make("a=2")
    project.ran()
    seen = []
    summary = dt.make(project.sweep(), None, dt.Options(cluster="none"), seen.append)
    assert summary.exit_code == 0
    kept = {k: v for e in seen if e["event"] == "kept" for k, v in e["trials"].items()}
    assert sorted(known["value"] for known in kept.values()) == [24.0, 25.0]
    assert {known["epochs"] for known in kept.values()} == {2}


def test_the_log_of_a_trial_that_is_trained_with_others_is_found_while_it_runs(project):
    """They share a file, which the run's folder names."""
    sweep = project.sweep()
    trial = sweep.pipeline.trials()[0].id
    shared = project.folder / "fused-log.txt"
    shared.write_text("words of all\n")
    run = RunFolder(str(project.root / "runs" / "r"))
    run.create()
    run.tell({"rows": [{"id": trial, "log": str(shared)}]})
    assert project.cli("logs", trial).out == "words of all\n"
    shared.unlink()  # the group has ended; nothing of this trial was kept
    assert project.cli("logs", trial).code == 2


def test_main_understands_follow(project):
    """-f is the file where one follows, and else means follow."""
    project.make()
    for words in (["a=1,b=3", "-f"], ["-f", "a=1,b=3"], ["a=1,b=3"]):
        told = project.run_cli(
            ["logs", *words, "-f", str(project.file), "--store", str(project.folder / "dist")]
        )
        assert told.out.startswith("training a=1,b=3-"), (words, told.err)
    assert callable(main)
    assert look(str(project.folder / "nothing")) == 0


def test_results_can_be_read_while_trials_are_in_training(slow, run_cli):
    """With their curves so far, and without a value that would count; a dead driver's are gone."""
    slow.start("-j2", hold=(10, 20))
    until(lambda: len(dense_curves(slow)) == 2)
    dataset = dt.open(slow.root).dataset
    assert dataset.status.values.tolist() == ["running"] * 2
    assert sorted(dataset.score.values.tolist()) == [[11, 12], [21, 22]]
    assert dataset.objective.isnull().all()
    assert "partial: 0 trials that have ended, 2 in training" in results(slow, run_cli)
    slow.release(20)
    until(lambda: list((slow.root / "trained").glob("a=20*/.stamp")))
    until(lambda: len(dense_curves(slow)) == 1)
    results_ = dt.open(slow.root)
    assert results_.partial
    dataset = results_.dataset
    assert dataset.status.values.tolist() == ["ok", "running"]
    assert dataset.a.values.tolist() == [20, 10]
    assert dataset.score.values[1].tolist()[:2] == [11, 12]
    assert dataset.score.isnull().values[1].tolist() == [False, False, True, True]
    assert results_.best().config == {"a": 20}
    assert "partial: 1 trials that have ended, 1 in training" in results(slow, run_cli)
    slow.process.kill()
    slow.process.wait()
    assert dt.open(slow.root).dataset.status.values.tolist() == ["ok"]


def results(slow, run_cli):
    """Read the table of results."""
    shown = run_cli(["results", "--trials", *slow.options])
    assert shown.code == 0, shown.err
    return shown.out


def dense_curves(slow):
    """Read the curves so far that have both epochs."""
    found = [run.told_curves() for run in run_folders(str(slow.root))]
    return [c for c in (found[-1].values() if found else ()) if c["score"][0] == [0, 1]]


def test_curves_so_far_are_bounded_and_keep_their_ends():
    """However long a training is, and however many there are."""
    so_far = SoFar()
    for trial in ("a", "b"):
        for epoch in range(3000):
            metrics = {"loss": epoch / 10}
            event = {"event": "report", "trial": trial, "epoch": epoch, "metrics": metrics}
            so_far.take(event)
            so_far.take(event)  # told twice
    epochs, values = so_far.to_json()["a"]["loss"]
    assert 200 < len(epochs) <= 500
    assert (epochs[0], epochs[-1]) == (0, 2999)
    assert values == [epoch / 10 for epoch in epochs]
    assert epochs == sorted(set(epochs))
    for trial in range(3000):
        for epoch in range(10):
            metrics = {"loss": 1.0}
            event = {"event": "report", "trial": trial, "epoch": epoch, "metrics": metrics}
            so_far.take(event)
    points = sum(len(curve["loss"][0]) for curve in so_far.to_json().values())
    assert points <= 20_000
    column = dense({"loss": ([0, 2], [1.0, 3.0])})
    assert column == {"epochs": 3, "columns": {"loss": [1.0, None, 3.0]}, "dims": {}}
    so_far.take({"event": "finished", "outcome": Outcome("trained/a", "")})
    assert "a" not in so_far.to_json()
