"""Collating: one labelled dataset, whatever the trials reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dasktune as dt
from dasktune.collate import assemble
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.stamp import Stamp
from dasktune.store import Store


def test_metrics_lie_along_trial_and_epoch_with_the_config_beside_them(project):
    """Everything that is known of a trial is a coordinate."""
    project.make()
    dataset = project.dataset()
    assert dict(dataset.sizes) == {"trial": 4, "epoch": 2}
    assert dataset.score.values.tolist() == [[13, 14], [14, 15], [23, 24], [24, 25]]
    assert dataset.objective.values.tolist() == [14, 15, 24, 25]
    assert dataset.a.values.tolist() == [1, 1, 2, 2]
    for name in ("status", "error", "seconds", "finished", "worker", "device", "key"):
        assert dataset[name].dims == ("trial",)
    assert dataset.attrs["objective"] == "max score"
    assert json.loads(dataset.attrs["versions"])["python"]


def test_any_reader_of_zarr_opens_it(project):
    """No dasktune needed."""
    project.make()
    dataset = xr.open_zarr(project.root / "collated.zarr", consolidated=False)
    assert dataset.score.sel(trial=dataset.a == 2).shape == (2, 2)


def test_ragged_epochs_and_metrics_that_are_sometimes_there_are_nan(project):
    """A row that a trial did not report is no number."""
    project.edit(
        "    for epoch in trial.epochs(epochs):",
        "    epochs = trial.config.a\n    for epoch in trial.epochs(epochs):\n"
        "        if trial.config.b == 4:\n            trial.report(extra=1.0)",
    )
    assert project.make().code == 0
    dataset = project.dataset()
    assert np.isnan(dataset.score.values).tolist() == [
        [False, True],
        [False, True],
        [False, False],
        [False, False],
    ]
    assert np.isnan(dataset.extra.sel(trial=dataset.b == 3).values).all()
    assert (dataset.extra.isel(epoch=0).sel(trial=dataset.b == 4) == 1).all()


def test_a_metric_with_dimensions_keeps_them(project):
    """A confusion matrix is a metric too."""
    project.edit(
        "noise=noise)",
        'noise=noise, hits=xr.DataArray(np.full((2, 3), epoch), dims=("true", "found")))',
    )
    assert project.make().code == 0
    hits = project.dataset().hits
    assert hits.dims == ("trial", "epoch", "true", "found")
    assert hits.shape == (4, 2, 2, 3)
    assert (hits.isel(epoch=1) == 1).all()


def test_a_metric_of_another_shape_in_another_trial_fails_the_collation_only(project):
    """Said in one line; the trials are kept."""
    project.edit(
        "noise=noise)", 'noise=noise, hits=xr.DataArray(np.zeros(trial.config.a), dims="found"))'
    )
    result = project.make()
    assert result.code == 2
    assert "a metric must have one shape in all trials" in result.err
    project.ran()
    project.make()
    assert project.ran() == []


def test_the_users_collate_adds_variables_and_counts_as_code(project):
    """It runs again when it changes; no trial does."""
    project.edit(
        "space = dt.Space(",
        "def collate(dataset):\n    note('collate')\n"
        "    return dataset.assign(double=dataset.score * 2)\n\n\nspace = dt.Space(",
    )
    project.edit('objective="max score")', 'objective="max score", collate=collate)')
    assert project.make().code == 0
    assert (project.dataset().double == project.dataset().score * 2).all()
    project.ran()
    project.edit("score * 2)", "score * 3)")
    assert project.make().code == 0
    assert project.ran() == ["collate"]
    assert (project.dataset().double == project.dataset().score * 3).all()


def test_a_collate_that_gives_no_dataset_is_told(project):
    """And the trials are kept."""
    project.edit("space = dt.Space(", "def collate(dataset):\n    return 1\n\n\nspace = dt.Space(")
    project.edit('objective="max score")', 'objective="max score", collate=collate)')
    result = project.make()
    assert result.code == 2
    assert "collate() must give back the xarray.Dataset" in result.err


def test_conditional_hyperparameters_are_nan_or_empty_where_they_do_not_exist(project):
    """And the best config does not name them."""
    project.edit(
        "space = dt.Space(a=dt.choice(1, 2), b=dt.choice(3, 4))",
        "space = dt.Space(a=dt.choice(1, 2), b=dt.choice(3), c=dt.choice(7, 8).when(a=2),"
        ' d=dt.choice("x").when(a=1))',
    )
    assert project.make().code == 0
    dataset = project.dataset()
    assert dataset.a.values.tolist() == [1, 2, 2]
    assert dataset.c.values[1:].tolist() == [7, 8]
    assert np.isnan(dataset.c.values[0])
    assert dataset.d.values.tolist() == ["x", "", ""]
    assert set(dt.best(dataset).config) == {"a", "b", "c"}


def test_a_full_grid_unstacks_into_one_dimension_a_hyperparameter(project):
    """Labelled by the values."""
    project.make()
    grid = dt.to_grid(project.dataset())
    assert dict(grid.sizes) == {"a": 2, "b": 2, "epoch": 2}
    assert grid.score.sel(a=2, b=3, epoch=1).item() == 24


def test_the_leaderboard_ranks_configs_by_their_mean_over_replicates(project):
    """With spread and number, the best first."""
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3), seed=dt.replicates(3))")
    project.edit("epoch + OFFSET", 'epoch + 3 * trial.replicate["seed"]')
    assert project.make().code == 0
    board = dt.leaderboard(project.dataset())
    assert board["a"].tolist() == [2, 1]
    assert board["n"].tolist() == [3, 3]
    assert board["mean"].tolist() == [27, 17]
    assert board["sd"].tolist() == [3, 3]


def test_folds_and_replicates_are_coordinates_that_unstack_and_are_averaged_over(project):
    """A config is ranked by its mean over both."""
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3), seed=dt.replicates(2), fold=dt.folds(3))")
    project.edit("epoch + OFFSET", 'epoch + trial.replicate["seed"] + 2 * trial.replicate["fold"]')
    assert project.make().code == 0
    dataset = project.dataset()
    assert dataset.attrs["replicate"] == ["seed", "fold"]
    assert dataset.fold.values.tolist() == [0, 1, 2] * 4
    board = dt.leaderboard(dataset)
    assert board["n"].tolist() == [6, 6]
    assert board["mean"].tolist() == [26.5, 16.5]
    assert dt.best(dataset).config == {"a": 2, "b": 3, "seed": 1, "fold": 2}
    luck = dataset.assign_coords(
        objective=dataset.objective.where(dataset.trial != dataset.trial[0], 30)
    )
    assert dt.best(luck).config["a"] == 2
    grid = dt.to_grid(dataset)
    assert dict(grid.sizes) == {"a": 2, "seed": 2, "fold": 3, "epoch": 2}
    assert grid.score.sel(a=1, seed=1, fold=2, epoch=0).item() == 18


def test_ten_thousand_trials_collate_without_passing_through_the_scheduler(tmp_path):
    """The node reads the stamps itself."""
    store = Store.at(tmp_path, "p")
    store.prepare()
    specs = dt.Space(a=dt.integers(1, 10_000)).grid().trials()
    outcomes = []
    for spec in specs:
        curve = {"epochs": 2, "columns": {"score": [0.0, float(spec.config["a"])]}, "dims": {}}
        body = {"result": {"value": float(spec.config["a"]), "curve": curve}, "place": {}}
        stamp = Stamp.of("train", f"trained/{spec.id}", "k" * 16, "d" * 64, 0.1, body)
        folder = Path(store.trained(spec.id, stamp.key))
        folder.mkdir()
        (folder / ".stamp").write_bytes(stamp.to_bytes())
        outcomes.append(Outcome(stamp.target, stamp.key, stamp.digest, made=False))
    dataset = assemble(store, specs, outcomes, Objective.parse("max score"), "p")
    assert dict(dataset.sizes) == {"trial": 10_000, "epoch": 2}
    assert dataset.score.values[:, 1].tolist() == dataset.a.values.tolist()
    assert dt.best(dataset).value == 10_000


@pytest.mark.parametrize("kind", ["csv", "json", "netcdf", "parquet"])
def test_exports_hold_what_the_dataset_holds(project, kind):
    """Read back by other libraries."""
    import pandas as pd

    if kind == "parquet":
        pytest.importorskip("pyarrow")
    project.make()
    out = project.folder / "out"
    result = project.run_cli(["results", str(project.root), "--to", kind, "--output", str(out)])
    assert result.code == 0, result.err
    if kind == "netcdf":
        again = xr.open_dataset(out, engine="scipy")
        assert (again.score.values == project.dataset().score.values).all()
        assert again.attrs["objective"] == "max score"
        again.close()
        return
    reader = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[kind]
    frame = reader(out)
    assert frame["score"].tolist() == [14, 15, 24, 25]
    assert frame["a"].tolist() == [1, 1, 2, 2]


def test_results_are_sorted_cut_and_given_as_json(project):
    """For people and for programs."""
    project.make()
    rows = json.loads(project.cli("results", "--json", "--sort", "score", "--best", "2").out)
    assert [row["score"] for row in rows] == [25, 24]
    rows = json.loads(project.cli("results", "--json", "--sort", "a", "--trials").out)
    assert [row["a"] for row in rows] == [1, 1, 2, 2]
    shown = project.cli("results")
    assert "best     score 25  a=2, b=4" in shown.out
    wrong = project.cli("results", "--sort", "scor")
    assert wrong.code == 2
    assert "did you mean 'score'" in wrong.err.lower()
