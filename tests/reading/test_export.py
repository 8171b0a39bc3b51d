"""Exports, read back by the programs they are for."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import dasktune as dt


@pytest.mark.parametrize("name", ["study.db", "study.log", "study"])
def test_optuna_loads_the_study_and_has_the_same_best(sweep, run_cli, tmp_path, name):
    """From SQLite, and from a journal: what optuna-dashboard opens."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    path = tmp_path / name
    for _ in range(2):  # a second export replaces the first
        result = run_cli(["results", "--to", "optuna", "--output", str(path)])
        assert result.code == 0, result.err
    if not name.endswith(".db"):
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    else:
        storage = f"sqlite:///{path}"
    study = optuna.load_study(study_name="pipeline", storage=storage)
    results = dt.open("dist/pipeline")
    best = results.best()
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.best_value == pytest.approx(best.mean)
    assert study.best_params == {k: v for k, v in best.config.items() if k != "seed"}
    assert study.best_trial.user_attrs["values"] == pytest.approx([0.91, 0.894, 0.903])
    assert study.best_trial.intermediate_values[0] == pytest.approx(best.mean / 3)
    assert len(study.trials) == 6
    assert study.best_trial.duration.total_seconds() == pytest.approx(
        results.leaderboard()["seconds"][0], abs=1e-3
    )
    dist = study.best_trial.distributions["lr"]
    assert (dist.low, dist.high, dist.log) == (0.01, 1.0, True)


def test_a_conditional_space_with_failures_is_a_study_too(project, tmp_path):
    """Absent hyperparameters are absent; a config without a value has failed."""
    import optuna

    project.edit(
        "b=dt.choice(3, 4))",
        'b=dt.choice(3, 4).when(a=2), c=dt.choice("x", None), d=dt.choice(True))',
    )
    project.edit("trial.config.b", "trial.config.get('b', 0)")
    (project.folder / "fail-2-4").touch()
    assert project.make("-i").code == 0
    assert project.cli("results", "--to", "optuna", "--output", "s.db").code == 0
    study = optuna.load_study(study_name="toy", storage="sqlite:///s.db")
    states = [trial.state.name for trial in study.trials]
    assert sorted(states) == ["COMPLETE"] * 4 + ["FAIL"] * 2
    assert {frozenset(trial.params) for trial in study.trials} == {
        frozenset({"a", "c", "d"}), frozenset({"a", "b", "c", "d"}),
    }  # fmt: skip
    failed = [trial for trial in study.trials if trial.state.name == "FAIL"]
    assert "told to fail" in failed[0].user_attrs["errors"][0]
    assert study.best_value == dt.open(project.root).best().mean


def test_tensorboard_reads_every_curve(sweep, run_cli, tmp_path):
    """A run a trial, with its hyperparameters; not on top of what is there."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "board"
    arguments = ["results", "--to", "tensorboard", "--output", str(folder)]
    assert run_cli(arguments).code == 0
    dataset = dt.open_results("dist/pipeline")
    assert sorted(p.name for p in folder.iterdir()) == sorted(dataset.trial.values)
    trial = str(dataset.trial.values[4])
    events = EventAccumulator(str(folder / trial)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["accuracy", "loss"]
    scalars = events.Scalars("accuracy")
    assert [scalar.step for scalar in scalars] == [0, 1, 2]
    assert np.allclose([s.value for s in scalars], dataset.accuracy.sel(trial=trial).values)
    assert "_hparams_/session_start_info" in events.summary_metadata
    again = run_cli(arguments)
    assert again.code == 2
    assert "holds something already" in again.err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
def test_mlflow_reads_every_curve(sweep, run_cli, tmp_path):
    """From a store of its own, in which each trial is a run."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path / "flow"
    assert run_cli(["results", "--to", "mlflow", "--output", str(folder)]).code == 0
    dataset = dt.open_results("dist/pipeline")
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("pipeline").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert sorted(runs) == sorted(dataset.trial.values)
    trial = str(dataset.trial.values[4])
    history = client.get_metric_history(runs[trial].info.run_id, "accuracy")
    assert [metric.value for metric in history] == dataset.accuracy.sel(trial=trial).values.tolist()
    assert runs[trial].data.params["lr"] == str(float(dataset.lr.sel(trial=trial)))


def test_netcdf_and_parquet_of_everything_that_can_be_in_a_dataset(project):
    """Conditional hyperparameters, large numbers, truth values, times."""
    import pandas as pd
    import xarray as xr

    project.edit(
        "b=dt.choice(3, 4))",
        "b=dt.choice(3, 4), c=dt.choice(True, False), d=dt.choice(2**40), "
        'e=dt.choice("ü").when(a=2))',
    )
    project.make("a=1,2", "b=3")
    whole = project.dataset()
    for kind in ("netcdf", "parquet", "csv", "json"):
        result = project.cli("results", "--to", kind, "--output", f"out.{kind}")
        assert result.code == 0, result.err
    with xr.open_dataset("out.netcdf", engine="scipy") as again:
        assert again.score.values.tolist() == whole.score.values.tolist()
        assert again.d.values.tolist() == [2**40] * 4
        assert abs(again.finished.values - whole.finished.values).max() < np.timedelta64(1, "ms")
    frame = pd.read_parquet("out.parquet")
    assert frame["e"].tolist() == ["", "", "ü", "ü"]
    assert frame["c"].tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [
        ("optuna", "optuna", "search"),
        ("tensorboard", "tensorboard", "tensorboard"),
        ("mlflow", "mlflow", "mlflow"),
        ("parquet", "pyarrow", "export"),
    ],
)
def test_a_missing_library_is_told_with_the_extra(
    sweep, run_cli, tmp_path, monkeypatch, kind, module, extra
):
    """One line; nothing else is hurt."""
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"dasktune.trackers.{module}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("pandas.io.parquet.import_optional_dependency", _missing)
    result = run_cli(["results", "--to", kind, "--output", str(tmp_path / "out")])
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert f"pip install 'dasktune[{extra}]'" in line


def _missing(name, **options):
    raise ImportError(name=name)


def test_a_file_that_cannot_be_written_is_one_line(sweep, run_cli):
    """In a folder that does not exist."""
    for command in (["results", "--to", "csv"], ["report"], ["plot", "cost"]):
        result = run_cli([*command, "--output", "no/such/folder.svg"])
        assert result.code == 2
        (line,) = result.err.strip().splitlines()
        assert "no/such/folder" in line


def test_what_netcdf_cannot_name_is_one_line(project):
    """NetCDF 3 takes names of a byte a letter."""
    project.edit("noise=", "ноль=")
    assert project.make("a=2").code == 0
    result = project.cli("results", "--to", "netcdf")
    assert result.code == 2
    assert "no letter for 'н' in the name 'ноль'" in result.err
    assert "--to parquet" in result.err


def test_a_sweep_in_which_all_failed_is_a_file_too(project):
    """It has no epochs."""
    for b in (3, 4):
        (project.folder / f"fail-2-{b}").touch()
    assert project.make("-i", "a=2").code == 0
    assert project.cli("results", "--to", "netcdf").code == 0
