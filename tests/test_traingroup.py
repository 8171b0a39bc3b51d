"""Groups: trained as one, committed one by one, and up to date by themselves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from distributed import Reschedule
from safetensors.torch import load_file

from dasktune import drain
from dasktune.attempt import Attempt
from dasktune.graph import build, group_node
from dasktune.outcome import Alone, Outcome
from dasktune.runfolder import RunFolder
from dasktune.stamp import read_stamp
from dasktune.traingroup import GroupTask, train_group
from dasktune.traintask import TrainTask

FILE = """
import os
import time

import numpy as np
import xarray as xr
from torch import nn

import dasktune as dt

HERE = os.path.dirname(__file__)


def preprocess():
    rng = np.random.default_rng(0)
    splits = {}
    for name, count in (("train", 150), ("val", 60)):
        x = rng.normal(size=(count, 4))
        y = (x[:, 0] * x[:, 1] > 0).astype("int64")
        splits[name] = xr.Dataset({"x": (("row", "axis"), x), "y": ("row", y)})
    return splits


def model(config, data):
    if os.path.exists(f"{HERE}/fail-{config.lr}"):
        raise RuntimeError("told to fail")
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def slow(outputs, targets):
    if os.path.exists(f"{HERE}/slow"):
        time.sleep(0.02)
    return (outputs.argmax(1) == targets).double().mean()


space = dt.Space(lr=dt.choice(0.003, 0.01, 0.03), seed=dt.replicates(2))
train = dt.TorchRecipe(model, metrics={"slow": slow}, epochs=5, batch_size=32)
pipeline = dt.Pipeline(space, preprocess, train, objective="min val_loss", checkpoint_every=0)
"""


@pytest.fixture
def fusible(project):
    """Give a project whose six trials may share a step."""
    project.file.write_text(FILE)
    return project


def stamps(project, store="dist"):
    """Read the trials' stamps, by folder."""
    folder = project.folder / store / "toy" / "trained"
    return {path.name: read_stamp(f"{path}/.stamp") for path in folder.iterdir()}


def same(project, one="dist", other="off", rtol=1e-9):
    """Compare all curves and weights of two stores."""
    here, there = stamps(project, one), stamps(project, other)
    assert here.keys() == there.keys() != set()
    for name, stamp in here.items():
        curve, curve2 = (s.body["result"]["curve"] for s in (stamp, there[name]))
        assert curve["columns"].keys() == curve2["columns"].keys()
        for metric, column in curve["columns"].items():
            np.testing.assert_allclose(column, curve2["columns"][metric], rtol=rtol)
        weights, weights2 = (
            load_file(project.folder / store / "toy" / "trained" / name / "model.safetensors")
            for store in (one, other)
        )
        for key, tensor in weights.items():
            torch.testing.assert_close(tensor, weights2[key], rtol=rtol, atol=rtol)


def test_a_fused_sweep_has_the_keys_and_the_results_of_the_loop(fusible):
    """Each trial is committed by itself, and says how it was trained."""
    result = fusible.make("--fuse", "6")
    assert result.code == 0, result.err
    assert "[6/6]" in result.out
    assert fusible.make("--fuse", "off").out == "dasktune: Nothing to be done for 'all'.\n"
    for stamp in stamps(fusible).values():
        assert stamp.body["fused"] == {"lanes": 6, "why": "as it was asked for"}
        assert stamp.seconds > 0
    off = ["--store", str(fusible.folder / "off")]
    assert fusible.make("--fuse", "off", *off).code == 0
    assert not any("fused" in stamp.body for stamp in stamps(fusible, "off").values())
    same(fusible)
    assert fusible.dataset().status.values.tolist() == ["ok"] * 6


def test_only_what_is_out_of_date_is_in_the_group(fusible):
    """One value more trains two trials; one trial alone is no group."""
    fusible.make("--fuse", "6", "lr=0.003,0.01")
    fusible.make("--fuse", "6")
    lanes = [stamp.body["fused"]["lanes"] for stamp in stamps(fusible).values()]
    assert sorted(lanes) == [2, 2, 4, 4, 4, 4]
    fusible.edit("replicates(2)", "replicates(1)")
    assert fusible.make("--fuse", "6", "lr=0.1").code == 0
    single = [s for name, s in stamps(fusible).items() if name.startswith("lr=0.1,")]
    assert len(single) == 1
    assert "fused" not in single[0].body


def test_a_trial_that_fails_fails_alone_with_its_log(fusible):
    """The others of its group are kept."""
    (fusible.folder / "fail-0.01").write_text("")
    result = fusible.make("--fuse", "6", "-k")
    assert result.code == 2
    assert result.err.count("told to fail") == 2
    assert len(stamps(fusible)) == 4
    assert "told to fail" in fusible.cli("logs", "lr=0.01,seed=1").out
    os.unlink(fusible.folder / "fail-0.01")
    assert "[2/2]" in fusible.make("--fuse", "6").out


def test_a_failure_without_k_stops_and_with_i_is_nan(fusible):
    """As when trials are trained alone."""
    (fusible.folder / "fail-0.01").write_text("")
    assert fusible.make("--fuse", "6").code == 2
    assert fusible.make("--fuse", "6", "-i").code == 0
    dataset = fusible.dataset()
    assert dataset.status.values.tolist().count("failed") == 2


def test_what_cannot_be_fused_is_trained_by_the_loop_and_says_why(fusible):
    """In its stamp."""
    fusible.edit(
        "nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()", "Deciding().double()"
    )
    fusible.edit(
        "space = ",
        "class Deciding(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(4, 2)\n\n"
        "    def forward(self, x):\n"
        "        return self.layer(x) if x.sum().item() > 0 else -self.layer(x)\n\n\n"
        "space = ",
    )
    assert fusible.make().code == 0
    for stamp in stamps(fusible).values():
        assert stamp.body["fused"]["lanes"] == 1
        assert "vmap cannot run it" in stamp.body["fused"]["why"]


def test_a_wrong_option_is_told_before_anything_runs(fusible):
    """With the rule and what was received."""
    fusible.edit("dt.choice(0.003, 0.01, 0.03)", "dt.choice(0.003, -1.0)")
    result = fusible.make()
    assert result.code == 2
    assert "lr must be a number of at least 0, but got -1.0" in result.err
    assert not (fusible.root / "trained").exists() or not stamps(fusible)
    assert "--fuse takes auto, off or a number" in fusible.make("--fuse", "0").err


def tasks_of(project, run="r"):
    """Give the plan and its tasks, with the preprocessed data made."""
    assert project.make("preprocessed").code == 0
    sweep = project.sweep()
    sweep.codes.save(sweep.store)
    RunFolder(sweep.store.run(run)).create()
    plan = sweep.plan()
    return plan, sweep.tasks(plan, run)


def test_a_group_is_one_node_with_resources_and_a_visible_node_for_each_trial(fusible):
    """All of them annotated, since a trial may yet be trained alone."""
    plan, tasks = tasks_of(fusible)
    names = [target.name for target in plan.trials()]
    group = GroupTask(tuple(tasks.train[name] for name in names[:4]))
    nodes = build(plan, tasks, groups=[group])
    graph = nodes["collated"].dask
    keys = {re.sub("-[0-9a-f]{8}$", "", name) for name in graph.layers}
    wanted = {f"train-lr={lr},seed={seed}" for lr in (0.003, 0.01, 0.03) for seed in (0, 1)}
    assert keys == {"fused-0", "trained", "collate"} | wanted
    needing = [name for name in graph.layers if "fused-0" in graph.dependencies[name]]
    assert sorted(needing) == sorted(nodes[name].key for name in names[:4])
    for name, layer in graph.layers.items():
        wanted = {"GPU": 1.0} if name.startswith(("train-", "fused-")) else None
        assert (layer.annotations or {}).get("resources") == wanted


def test_trials_whose_worker_died_twice_under_the_group_are_trained_one_by_one(fusible):
    """So that the one that kills it is found."""
    plan, tasks = tasks_of(fusible)
    given: list[TrainTask] = list(tasks.train.values())
    run = RunFolder(fusible.sweep().store.run("r"))
    data = plan.targets["preprocessed"].outcome
    assert isinstance(data, Outcome)
    first = train_group(GroupTask(tuple(given[:2]), width=2), data)
    assert [part.status for part in first] == ["ok", "ok"]
    for task in given[2:4]:
        name = f"{task.spec.id}-{key_of(task, data)}"
        Attempt(run, name)
        Attempt(run, name)
    parts = train_group(GroupTask(tuple(given), width=6), data)
    assert [type(part) for part in parts] == [Outcome] * 2 + [Alone] * 2 + [Outcome] * 2
    # What was committed before the death is made by this run all the same.
    assert [part.made for part in parts if isinstance(part, Outcome)] == [True] * 4
    assert "died under the group" in parts[2].why


def key_of(task, data):
    """Give the key under which a trial is committed."""
    from dasktune.job import Job

    return Job(task, data, "none").key


def start(project, *arguments, store="dist"):
    """Start a make of its own, with real workers."""
    command = [sys.executable, "-m", "dasktune", "make", "-f", str(project.file), "--json"]
    command += ["--store", str(project.folder / store), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def checkpoints(project, store="dist"):
    """Count the checkpoints in a store."""
    return len(list((project.folder / store / "toy" / "checkpoints").glob("*/epoch-*.pt")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_it_goes_on_from_the_checkpoints(fusible, number):
    """By Ctrl-C or by kill -9 of all its processes; the result is the loop's."""
    (fusible.folder / "slow").write_text("")
    process = start(fusible, "--fuse", "6", "-j1", "epochs=30")
    try:
        deadline = time.monotonic() + 90
        while checkpoints(fusible) < 6:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert checkpoints(fusible) == 6
    assert stamps(fusible) == {}
    os.unlink(fusible.folder / "slow")
    assert fusible.make("--fuse", "6", "epochs=30").code == 0
    assert all(stamp.body["resumed_at"] > 0 for stamp in stamps(fusible).values())
    assert checkpoints(fusible) == 0
    off = ["--store", str(fusible.folder / "off")]
    assert fusible.make("--fuse", "off", "epochs=30", *off).code == 0
    same(fusible)


def test_a_group_on_a_worker_that_leaves_goes_on_elsewhere(fusible, monkeypatch):
    """Those in training resume, the others start there; no attempt is counted."""
    plan, tasks = tasks_of(fusible)
    group = GroupTask(tuple(tasks.train.values()), width=4)
    data = plan.targets["preprocessed"].outcome
    told: list[dict[str, object]] = []

    def emit(event):
        told.append(event)
        if event["event"] == "report":
            drain.request("SIGTERM")

    monkeypatch.setattr("dasktune.graph.mailbox", lambda run: emit)
    try:
        with pytest.raises(Reschedule):
            group_node(group, data)
        with pytest.raises(Reschedule):
            group_node(group, data)
    finally:
        drain.reset()
    assert checkpoints(fusible) == 4
    assert not any(event["event"] == "ended" for event in told)
    logs = {event["log"] for event in told if event["event"] == "started"}
    assert len(logs) == 1  # those that are trained together share one
    assert RunFolder(fusible.sweep().store.run("r")).running() == []
    monkeypatch.undo()
    parts = group_node(group, data)
    assert [(part.status, part.made) for part in parts] == [("ok", True)] * 6
    resumed = [stamp.body["resumed_at"] for stamp in stamps(fusible).values()]
    assert sorted(resumed) == [0, 0, 1, 1, 1, 1]
    fusible.make("--fuse", "off", "--store", str(fusible.folder / "off"))
    same(fusible)


def test_two_workers_share_the_groups_and_tell_of_each_trial(fusible):
    """One event a trial that ends, and the results of one worker."""
    (fusible.folder / "slow").write_text("")  # long enough for the second worker to take a share
    process = start(fusible, "--fuse", "3", "-j2", "epochs=60")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    ended = [e["target"] for e in events if e["event"] == "finished" and e.get("value") is not None]
    trials = [name for name in ended if name.startswith("trained/")]
    assert len(trials) == len(set(trials)) == 6
    started = [e["target"] for e in events if e["event"] == "started" and "trained/" in e["target"]]
    assert sorted(started) == sorted(trials)
    assert len({stamp.body["place"]["worker"] for stamp in stamps(fusible).values()}) == 2
    off = ["--store", str(fusible.folder / "off")]
    os.unlink(fusible.folder / "slow")
    assert fusible.make("--fuse", "off", "epochs=60", *off).code == 0
    same(fusible)
