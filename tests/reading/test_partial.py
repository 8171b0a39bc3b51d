"""Partial results of a search: every trial by its longest budget, and where it began."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import xarray as xr

import dasktune as dt
from dasktune.runfolder import RunFolder

FILE = """
import xarray as xr

import dasktune as dt


class Total:
    value = 0.0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def preprocess():
    return {"train": xr.Dataset({"x": ("row", [1.0, 2.0])})}


def train(trial, data, epochs=9, shift=0.0):
    total = Total()
    trial.checkpoint(total=total)
    for epoch in trial.epochs(epochs):
        total.value += trial.config.a
        trial.report(score=total.value + shift)


space = dt.Space(a=dt.uniform(0.1, 1.0))
pipeline = dt.Pipeline(
    space, preprocess, train, objective="max score", budget="epochs", resources={"CPU": 1},
    search=dt.SuccessiveHalving(9, min_epochs=1),
)
"""
RUNGS = "dt.SuccessiveHalving(9, min_epochs=1)"
ONLY_KNOWN_AT_THE_END = ("bracket", "rung", "stopped")


@pytest.fixture
def search(project):
    """Give a project whose pipeline is a search of nine configurations, in three rungs."""
    project.file.write_text(FILE)
    return project


def same(whole: xr.Dataset, partial: xr.Dataset) -> None:
    """Check that a partial dataset holds what the collated one does."""
    partial = partial.sel(trial=whole.trial.values)
    assert not {*ONLY_KNOWN_AT_THE_END} & {*partial.coords}
    whole = whole.drop_vars(ONLY_KNOWN_AT_THE_END)
    for name in (*whole.data_vars, *whole.coords):
        xr.testing.assert_equal(whole[name].astype(object), partial[name].astype(object))


def test_all_rungs_of_a_search_are_in_its_partial_results(search):
    """Each trial once, with its longest curve and what it cost in all."""
    assert search.make().code == 0
    whole = search.dataset()
    assert sorted(whole.budget.values.tolist()) == [1] * 6 + [3] * 2 + [9]
    partial = dt.open(search.root, partial=True)
    assert partial.dataset.sizes == whole.sizes
    same(whole, partial.dataset)
    assert partial.best() == dt.best(whole)
    for where in ([], ["--partial"]):
        told = search.cli("results", "--trials", "--json", "--where", "budget > 1", *where)
        assert sorted(row["budget"] for row in json.loads(told.out)) == [3, 3, 9]


def test_a_population_has_its_parents_before_it_is_collated(search):
    """Equal settings that began from other checkpoints are other configurations."""
    search.edit(RUNGS, "dt.PBT(4, every=3, share=0.5)")
    assert search.make().code == 0
    whole = search.dataset()
    assert (whole.parent != "").any()
    partial = dt.open(search.root, partial=True)
    same(whole, partial.dataset)
    assert len(partial.leaderboard()) == len(dt.open(search.root).leaderboard())


def test_a_search_is_one_version_and_another_variable_makes_another(search):
    """The epochs are the search's own choice; what differs else is told."""
    assert search.make().code == 0
    assert search.make("shift=1.0").code == 0
    versions = json.loads(search.cli("results", "--versions", "--json").out)
    assert [row["trials"] for row in versions] == [9, 9]
    assert [row["variables"] for row in versions] == ["shift=1.0", "shift=0.0"]
    assert versions[0]["mean"] == pytest.approx(versions[1]["mean"] + 1)
    compared = search.cli("results", "--compare", versions[1]["version"])
    assert "9 pairs" in compared.out, compared.err
    partial = dt.open(search.root, partial=True).dataset
    xr.testing.assert_allclose(
        partial.objective.sortby("trial").drop_vars(partial.objective.coords),
        search.dataset().objective.sortby("trial").drop_vars(search.dataset().objective.coords),
    )


def test_what_a_sweep_trained_is_of_the_same_version_as_a_search_of_it(search):
    """A trial that both have counts once, by its longest budget."""
    search.edit("a=dt.uniform(0.1, 1.0)", "a=dt.choice(*range(1, 10))")
    assert search.make("--search", "none", "a=1").code == 0
    assert search.make().code == 0
    partial = dt.open(search.root, partial=True).dataset
    assert sorted(partial.a.values.tolist()) == list(range(1, 10))
    assert int(partial.budget.sel(trial=partial.a == 1).item()) == 9


def test_a_trial_that_is_trained_on_is_told_by_what_has_ended(search):
    """One that begins is in training; another one failed at its first rung."""
    search.edit("trial.report(", "assert trial.config.a < 0.9\n        trial.report(")
    assert search.make("-k", "-i").code == 0
    whole = search.dataset()
    assert "failed" in whole.status.values
    well = whole.where(whole.status == "ok", drop=True)
    name, started = str(well.trial.values[0]), {"epoch": 2, "epochs": 27, "worker": "w"}
    version = json.loads(search.cli("results", "--versions", "--json").out)[0]["version"]
    rows = [
        {"id": name, "axes": {"a": float(well.a[0])}, "state": "running", **started},
        {"id": "a=7-new", "axes": {"a": 7.0}, "state": "running", **started},
    ]
    told = {
        **{"pipeline": "toy", "run": "r", "root": str(search.root), "objective": "max score"},
        **{"started": 0.0, "stages": {}, "best": [], "front": {}, "replicate": []},
        **{"dashboard": "", "jobs": "", "over": "", "most_running": 2, "spent": [0, 0.0]},
        **{"counts": {"running": 2}, "host": os.uname().nodename, "pid": os.getpid()},
        "rows": [{**row, "version": version} for row in rows],
    }
    run = RunFolder(str(search.root / "runs" / "r"))
    run.create()
    run.tell(told)
    run.tell_curves({"a=7-new": {"score": [[0, 1], [7.0, 14.0]]}})
    partial = dt.open(search.root).dataset
    assert partial.sizes["trial"] == whole.sizes["trial"] + 1
    status = dict(zip(partial.trial.values.tolist(), partial.status.values.tolist(), strict=True))
    assert status[name] == "ok"
    assert status["a=7-new"] == "running"
    assert list(status.values()).count("failed") == (whole.status == "failed").sum()
    new = partial.sel(trial="a=7-new")
    assert new.score.values[:2].tolist() == [7, 14]
    assert np.isnan(new.objective)
    assert int(new.budget) == 0
