"""A sweep by an array of jobs, each of which trains its share straight from the folder."""

from __future__ import annotations

import os

import pytest
import xarray as xr

import dasktune as dt
from dasktune import drain
from dasktune.dispatch.dispatch import Dispatch, Job, Order, dispatches
from dasktune.dispatch.share import Shares, Worker, note, noted
from dasktune.dispatch.sharing import Array
from dasktune.errors import ClusterError
from dasktune.outcome import Outcome
from dasktune.run import Options


def array_of(sweep, *words, **options):
    """Begin an array in a sweep's store, as its first job does."""
    order = Order("slurm", {}, words, "slurm", ".", sweep.codes.digest, count=3, kind="array")
    sweep.store.prepare()
    dispatch = Dispatch.create(sweep.store.root, order)
    return Array(dispatch, sweep, Options(cluster="none", **options), lambda event: None)


def work(array, place, *, most=4):
    """Be one job of the array, which leaves after some trials."""
    path, told = array.dispatch.path, []

    def tell(outcome):
        note(path, place, outcome)
        told.append(outcome)
        if len(told) == most:
            drain.request("its time is over")

    Worker(Shares.load(path), path, place, 3, f"slurm-{place}", tell).train()
    drain.reset()
    return told


def finish(array):
    """Be the last job, and give its summary and the arrays that it asked for."""
    sent = []
    return array.finish(sent.append), sent


def test_shares_are_disjoint_and_the_rest_is_taken_from_their_ends():
    """So that two jobs seldom look at the same."""
    shares = Shares(Outcome("preprocessed", ""), tuple(range(7)), 1)
    assert list(shares.order(1, 3))[:3] == [0, 3, 6]
    assert list(shares.order(2, 3)) == [1, 4, 5, 2, 6, 3, 0]
    assert all(sorted(shares.order(place, 3)) == list(range(7)) for place in (1, 2, 3))


def test_an_array_makes_the_very_dataset_that_make_makes(project):
    """The same keys, the same digests; whoever is first does the work of those that never came."""
    project.make()
    project.ran()
    there = dt.Sweep.load(str(project.file), store=str(project.folder / "there"))
    array = array_of(there)
    assert array.prepare().exit_code == 0
    assert len(work(array, 2)) == 4
    assert work(array, 1) == []
    summary, sent = finish(array)
    assert (summary.exit_code, sent) == (0, [])
    assert len(summary.made()) == 5
    varying = ["seconds", "training_seconds", "finished", "worker"]
    xr.testing.assert_identical(
        dt.open_results(there.store.root).drop_vars(varying),
        project.dataset().drop_vars(varying),
    )
    assert os.listdir(there.store.root + "/collated") == os.listdir(project.root / "collated")
    assert os.listdir(there.store.root + "/runs") == []
    assert sorted(project.ran()) == sorted(
        ["preprocess", *(f"train a={a},b={b}" for a in (1, 2) for b in (3, 4))]
    )


def test_what_dead_jobs_left_goes_on_in_another_array_as_long_as_it_gets_on(project):
    """A claim of a job that died holds up nobody for longer than one array."""
    array = array_of(project.sweep())
    array.prepare()
    claims = f"{array.dispatch.path}/claims-1"
    os.makedirs(claims)
    units = Shares.load(array.dispatch.path).units
    for unit in units[:2]:
        with open(f"{claims}/{unit.spec.id}", "w") as file:
            file.write("3")
    assert len(work(array, 1)) == 2
    assert finish(array) == (None, [2])
    assert len(Shares.load(array.dispatch.path).units) == 2
    summary, sent = finish(array)  # all its jobs died
    assert (summary.exit_code, sent) == (2, [])
    assert summary.not_remade() == ["all"]


def test_a_last_job_that_is_killed_while_it_sends_another_array_still_knows_of_the_progress(
    project,
):
    """Its second copy sends one; that it was cut already is no sign that nothing got on."""
    array = array_of(project.sweep())
    array.prepare()
    assert len(work(array, 1, most=2)) == 2

    def killed(count):
        raise SystemExit

    with pytest.raises(SystemExit):
        array.finish(killed)
    assert finish(array) == (None, [2])
    assert finish(array)[0].exit_code == 2


def test_the_checkpoints_of_another_sweep_are_no_progress(project):
    """They would keep an array going for ever that is stuck."""
    array = array_of(project.sweep())
    array.prepare()
    other = f"{array.sweep.store.root}/checkpoints/a=9,b=9-beef"
    os.makedirs(other)
    with open(f"{other}/epoch-7.pt", "w"):
        pass
    assert finish(array)[0].exit_code == 2


@pytest.mark.parametrize(
    ("after", "sent", "cancelled"),
    [
        ([], [("train", "finish")], []),
        ([("8", "train"), ("9", "finish")], [], []),
        ([("8", "train")], [("train", "finish")], ["8"]),
    ],
)
def test_a_last_job_that_is_started_again_sends_no_second_array(
    project, monkeypatch, after, sent, cancelled
):
    """Unless what its first copy sent has no end, since that was killed in between."""
    array = array_of(project.sweep(), "-f", str(project.file), "--store", str(project.root.parent))
    array.sweep.codes.save(array.sweep.store)
    array.prepare()
    work(array, 1, most=2)
    for number, role in [("6", "train"), ("7", "finish"), *after]:
        array.dispatch.add(Job(number, role))
    asked, gone = [], []
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr("dasktune.cluster.jobs.cancel", lambda queue, numbers: gone.extend(numbers))
    monkeypatch.setattr(
        "dasktune.dispatch.sending.send", lambda of, roles, **how: asked.append(roles) or "10"
    )
    result = project.run_cli(
        ["share", "finish", array.dispatch.path, "--seconds", "60", "--lead", "5"]
    )
    assert (result.code, asked, gone) == (0, sent, cancelled)
    assert array.dispatch.ended() is None


def test_a_queue_that_refuses_another_array_is_asked_as_long_as_there_is_time(project, monkeypatch):
    """It may be unable to take a job for a moment, or a limit be reached for an hour."""
    array = array_of(project.sweep(), "-f", str(project.file), "--store", str(project.root.parent))
    array.sweep.codes.save(array.sweep.store)
    array.prepare()
    work(array, 1, most=2)
    tries = []

    def send(dispatch, roles, **how):
        tries.append(roles)
        if len(tries) < 30:
            raise ClusterError("Slurm temporarily unable to accept job")
        return "8"

    monkeypatch.setattr("dasktune.dispatch.sending.send", send)
    monkeypatch.setattr("dasktune.cluster.supervisor.pause", lambda tries: 0)
    result = project.run_cli(
        ["share", "finish", array.dispatch.path, "--seconds", "60", "--lead", "5"]
    )
    assert result.code == 0
    assert "what is left goes on in the array 8" in result.out
    assert len(tries) == 30
    assert array.dispatch.ended() is None


def test_an_array_whose_first_job_was_taken_away_begins_again_some_times(project, monkeypatch):
    """As a preemption does; its last job notices, since nothing was cut into shares."""
    sweep = dt.Sweep.load(str(project.file), store=str(project.folder / "dist"))
    words = ("-f", str(project.file), "--store", str(project.folder / "dist"))
    order = Order("slurm", {}, words, "slurm", ".", sweep.codes.digest, count=3, kind="array")
    sweep.store.prepare()
    sweep.codes.save(sweep.store)
    dispatch = Dispatch.create(sweep.store.root, order)
    sent = []

    def send(dispatch, roles, **how):
        dispatch.add(Job("7", roles[0]))
        sent.append(roles)
        return "7"

    monkeypatch.setattr("dasktune.dispatch.sending.send", send)
    send(dispatch, ["prepare"])
    finish = ["share", "finish", dispatch.path, "--seconds", "60", "--lead", "5"]
    for times in (2, 3):
        result = project.run_cli(finish)
        assert "the first job was taken away; job 7 begins again" in result.out
        assert sent[1:] == [("prepare", "train", "finish")] * (times - 1)
    result = project.run_cli(finish)
    assert result.code == 2
    assert "was taken away 3 times before it had preprocessed" in dispatch.ended().why
    assert len(sent) == 3


def test_a_job_that_the_queue_starts_again_finds_its_own_claims(project):
    """Those of others are not its business."""
    array = array_of(project.sweep())
    array.prepare()
    first, second, *_ = Shares.load(array.dispatch.path).units
    os.makedirs(f"{array.dispatch.path}/claims-1")
    for unit, place in ((first, 1), (second, 2)):
        with open(f"{array.dispatch.path}/claims-1/{unit.spec.id}", "w") as file:
            file.write(str(place))
    trained = [outcome.target for outcome in work(array, 1)]
    assert first.target in trained
    assert second.target not in trained


def test_a_failure_stops_the_array_unless_it_is_to_go_on(project):
    """As in make: 2, what is finished is kept; with -k the others are trained; -i collates."""
    (project.folder / "fail-1-3").touch()
    array = array_of(project.sweep())
    array.prepare()
    assert [outcome.status for outcome in work(array, 1)] == ["failed"]
    assert work(array, 2) == []
    summary, sent = finish(array)
    assert (summary.exit_code, sent) == (2, [])
    assert "told to fail" in summary.failures()[0].error
    array = array_of(project.sweep(), keep_going=True)
    array.prepare()
    assert len(work(array, 1)) == 4
    summary, sent = finish(array)
    assert (summary.exit_code, sent) == (2, [])
    array = array_of(project.sweep(), ignore_errors=True)
    array.prepare()
    work(array, 3)
    assert noted(array.dispatch.path).popitem()[1].status == "failed"
    summary, sent = finish(array)
    assert (summary.exit_code, sent) == (0, [])
    assert sorted(project.dataset().status.values) == ["failed", "ok", "ok", "ok"]


def test_a_trial_of_an_array_is_tried_again_as_often_as_asked(project):
    """By the job that has it, as in make."""
    project.edit('note("train " + trial.id)', 'note("train " + trial.id); stumble()')
    stumble = """
def stumble():
    if not os.path.exists(f"{HERE}/stumbled"):
        open(f"{HERE}/stumbled", "w").close()
        raise OSError("the network is gone")


def preprocess("""
    project.edit("def preprocess(", stumble.lstrip())
    array = array_of(project.sweep(), retries=1)
    array.prepare()
    assert [outcome.status for outcome in work(array, 1)] == ["ok"] * 4
    assert finish(array)[0].exit_code == 0


def test_an_array_that_is_cancelled_begins_nothing_more(project):
    """Nor sends another one."""
    array = array_of(project.sweep())
    array.prepare()
    array.run.interrupt("cancelled")
    assert work(array, 1) == []
    assert finish(array)[1] == []
    assert project.ran() == ["preprocess"]


def test_only_a_queue_takes_a_sweep(project):
    """Not what runs here."""
    result = project.cli("submit", "local")
    assert result.code == 2
    assert "jobs are sent to a queue, such as slurm, but got 'local'" in result.err
    assert not [*(project.root / "dispatched").iterdir()]


FUSED = """
import numpy as np
import torch
import xarray as xr

import dasktune as dt
from dasktune import drain


def preprocess():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    rows = xr.Dataset({"x": (("row", "axis"), x), "y": ("row", (x.sum(1) > 0).astype("int64"))})
    return {"train": rows, "val": rows}


def model(config, data):
    return torch.nn.Linear(4, 2)


recipe = dt.TorchRecipe(model, epochs=2, batch_size=16)
space = dt.Space(lr=dt.choice(0.01, 0.02, 0.03))
pipeline = dt.Pipeline(space, preprocess, recipe, objective="min val_loss")
"""


def test_trials_that_share_a_step_are_one_unit(tmp_path):
    """And each of them is committed by itself."""
    (tmp_path / "fused.py").write_text(FUSED)
    sweep = dt.Sweep.load(str(tmp_path / "fused.py"), store=str(tmp_path / "dist"))
    array = array_of(sweep)
    array.prepare()
    assert len(Shares.load(array.dispatch.path).units) < 3
    for place in (1, 2, 3):
        work(array, place)
    summary, sent = finish(array)
    assert (summary.exit_code, sent) == (0, [])
    assert len(summary.made()) == 4
    assert summary.failures() == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--array", "--search", "hyperband(max_epochs=3)"], "--array cannot search"),
        ([], "submit takes the queue to send to"),
        (["-n"], "-n submits nothing"),
        (["clean"], "'clean' needs no queue"),
        (["--in-job"], "--in-job needs -j N"),
        (["--array", "--trial-timeout", "60"], "--array takes no --trial-timeout"),
        (["--array", "-B"], "--array takes no -B"),
        (["--array", "trained"], "--array makes 'all', but got trained"),
        (["--array", "--in-job", "-j2"], "--array and --in-job exclude each other"),
    ],
)
def test_what_cannot_be_submitted_is_refused(project, words, told):
    """In one line, before anything is sent."""
    project.edit('objective="max score")', 'objective="max score", budget="epochs")')
    queue = ["slurm"] if words else []
    result = project.run_cli(["submit", *queue, "-f", str(project.file), *words])
    assert result.code == 2
    assert told in result.err


def test_a_dispatch_that_is_being_made_is_not_listed(project):
    """Without its order it cannot be asked how it stands."""
    array = array_of(project.sweep())
    os.makedirs(f"{os.path.dirname(array.dispatch.path)}/29990101-000000-beef")
    assert dispatches(array.sweep.store.root) == [array.dispatch]
    assert os.stat(array.dispatch.path).st_mode & 0o077 == 0
