"""Opening results: collated or not, whole or damaged; and what a plain dataset lacks."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

import dasktune as dt
from dasktune.reading.selection import with_objective
from dasktune.reading.training import SILENT
from dasktune.runfolder import RunFolder


def one_error(result, *words):
    """Check that stderr is one line with these words, and the exit code 2."""
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    for word in words:
        assert word in line


def test_it_gives_a_plain_dataset_and_what_that_cannot_say(sweep):
    """The best, the leaderboard, a part of it."""
    results = dt.open("dist/pipeline")
    assert type(results.dataset) is xr.Dataset
    assert results.best().config == {"lr": 0.1, "width": 64, "activation": "relu", "seed": 0}
    assert results.leaderboard(2)["width"].tolist() == [64, 128]
    assert results.where("width == 128").best().config["width"] == 128
    assert results.by("min accuracy").best().config["lr"] == 1.0
    assert results.group("lr")["n"].tolist() == [6, 6, 4]
    assert results.grid().sizes["lr"] == 3
    assert len(results.trials()) == 18
    assert not results.partial
    assert "18 trials, best accuracy 0.90233" in repr(results)
    assert "cannot be told apart" in results._repr_html_()


def test_the_accessor_is_the_same_around_any_part_of_a_dataset(sweep):
    """Also one that xarray opened itself."""
    opened = dt.open("dist/pipeline")
    dataset = xr.open_zarr("dist/pipeline/collated.zarr", consolidated=False).load()
    assert dataset.dasktune.best() == dt.Results(dataset).best() == opened.best()
    assert "lr" not in xr.open_dataset("dist/pipeline", drop_variables="lr")
    part = dataset.isel(trial=dataset.width == 128)
    assert part.dasktune.best().config["width"] == 128
    with pytest.raises(dt.DasktuneError, match="no dataset that dasktune collated"):
        xr.Dataset({"x": ("a", [1])}).dasktune  # noqa: B018


def test_xarray_alone_opens_a_sweep_and_has_its_accessor(sweep):
    """In a process that never imported dasktune."""
    code = """
import sys, xarray as xr
assert "dasktune" not in sys.modules
sweep = xr.open_dataset("dist/pipeline")
collated = xr.open_zarr("dist/pipeline/collated.zarr", consolidated=False)
xr.testing.assert_identical(collated.load(), sweep.load())
print(sweep.dasktune.best().trial, collated.dasktune.best().trial)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [dt.open("dist/pipeline").best().trial] * 2


def test_the_dataset_says_what_the_sweep_was(sweep):
    """Without the pipeline's file at hand."""
    facts = json.loads(dt.open_results("dist/pipeline").attrs["sweep"])
    assert facts["about"] == "Does a wider layer help?"
    assert facts["design"] == "full grid of 6 configs x 3 seed"
    assert facts["space"]["lr"]["text"] == "log-uniform from 0.01 to 1, 3 points"
    assert facts["variables"] == {"rows": 4, "epochs": 3, "shift": 0.0}
    assert facts["file"] == "pipeline.py"


def test_trials_say_when_they_ended_and_failed_ones_do_not(sweep):
    """As times, which any reader of Zarr understands."""
    dataset = xr.open_zarr("dist/pipeline/collated.zarr", consolidated=False)
    assert dataset.finished.dtype.kind == "M"
    assert (
        np.isnat(dataset.finished.values).tolist() == (dataset.status == "failed").values.tolist()
    )


def test_a_sweep_that_stopped_at_a_failure_is_read_from_its_stamps(project):
    """There is no collation; the failed trial is there, with its error."""
    (project.folder / "fail-1-4").touch()
    assert project.make().code == 2
    results = dt.open(project.root)
    assert results.partial
    assert results.dataset.status.values.tolist() == ["ok", "failed"]
    assert results.dataset.score.values[0].tolist() == [13, 14]
    assert results.best().value == 14
    shown = project.cli("results")
    assert shown.code == 0
    assert shown.out.startswith("partial: 2 trials that have ended; not collated")
    assert "RuntimeError: told to fail" in project.cli("results", "--trials").out


def test_partial_results_are_those_of_the_collation(project):
    """The same values, coordinates and attributes."""
    project.edit("b=dt.choice(3, 4))", 'b=dt.choice(3, 4).when(a=2), c=dt.choice("x", "y"))')
    project.edit("trial.config.b", "trial.config.get('b', 0)")
    project.make()
    whole = project.dataset()
    partial = dt.open(project.root, partial=True).dataset.sel(trial=whole.trial)
    for name in (*whole.data_vars, *whole.coords):
        xr.testing.assert_equal(whole[name].astype(object), partial[name].astype(object))
    for name in ("pipeline", "objective", "hyperparameters", "replicate", "conditional"):
        assert whole.attrs[name] == partial.attrs[name]


def test_results_can_be_read_while_the_sweep_runs(project):
    """By another process, from the stamps; the view is older, or not there."""
    project.edit(
        '    print("training", trial.id)',
        "    while trial.config.a == 2 and not os.path.exists(f'{HERE}/go'):\n"
        "        time.sleep(0.05)",
    )
    command = [sys.executable, "-m", "dasktune", "make", "-f", str(project.file)]
    command += ["--cluster", "none", "--store", str(project.folder / "dist")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            seen = 0
            while seen < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
                try:
                    results = dt.open(project.root)
                except dt.DasktuneError:
                    continue
                seen = int((results.dataset.status == "ok").sum())  # another is in training
            assert seen == 2
            assert results.partial
            assert results.best().value == 15
        finally:
            (project.folder / "go").touch()
            assert process.wait(120) == 0
    assert not dt.open(project.root).partial
    assert dt.open(project.root).dataset.sizes["trial"] == 4


def test_only_one_version_of_the_code_is_read_from_the_stamps(project):
    """A half-made change is not mixed with what was before it."""
    project.make()
    project.edit("OFFSET = 0", "OFFSET = 100")
    (project.folder / "fail-1-4").touch()
    project.make()
    assert dt.open(project.root).dataset.objective.values[0] == 114
    assert dt.open(project.root).dataset.sizes["trial"] == 2
    assert dt.open(project.root / "collated.zarr").dataset.objective.max() == 25


def test_after_an_edit_is_taken_back_the_view_shows_the_old_results_again(project):
    """Though there was nothing to be done."""
    project.make()
    project.edit("OFFSET = 0", "OFFSET = 100")
    project.make()
    assert dt.open(project.root).best().value == 125
    project.edit("OFFSET = 100", "OFFSET = 0")
    assert project.make().out == "dasktune: Nothing to be done for 'all'.\n"
    assert dt.open(project.root).best().value == 25
    assert dt.open_results(project.root).objective.max() == 25


def test_another_objective_judges_trials_that_are_trained_already(project):
    """The value is looked up in the curves; nothing is trained again."""
    project.make()
    project.ran()
    project.edit('objective="max score"', 'objective="min noise"')
    assert project.make().code == 0
    assert project.ran() == []
    dataset = project.dataset()
    assert dataset.objective.values.tolist() == dataset.noise.values[:, -1].tolist()
    project.edit('objective="min noise"', 'objective="min nois"')
    result = project.make()
    assert result.code == 2
    assert "no trial reported the objective's metric 'nois'. Did you mean 'noise'?" in result.err


def test_damaged_stamps_are_left_out_and_counted(project):
    """The others can be read."""
    project.make()
    (path,) = project.root.glob("trained/a=2,b=4-*/.stamp")
    path.write_bytes(path.read_bytes()[:100])
    results = dt.open(project.root, partial=True)
    assert results.dataset.sizes["trial"] == 3
    shown = project.cli("results", "--partial")
    assert "; 1 damaged stamps left out" in shown.out


def test_a_folder_that_is_no_run_is_one_line(project, tmp_path):
    """Empty, a file, another Zarr store, nothing."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    xr.Dataset({"x": ("a", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    for name in ("empty", "file", "nowhere"):
        one_error(project.cli("results", name), "no collated dataset at", "dasktune make")
    one_error(project.cli("results", "other.zarr"), "not one that dasktune collated")
    project.make()
    one_error(project.cli("results", "dist"), "name one: dist/toy")
    for command in (["report"], ["plot", "curves"]):
        one_error(project.cli(*command, "empty"), "no collated dataset at")
    one_error(project.cli("results", "--partial", "empty"), "empty has none")


@pytest.mark.parametrize("how", ["missing", "truncated", "garbage"])
def test_a_half_written_collation_is_told_and_made_again_as_advised(project, how):
    """Zarr would read a missing file as fill values, without a word."""
    project.make()
    (chunk,) = project.root.glob("collated/*/results.zarr/score/c/0/0")
    if how == "missing":
        chunk.unlink()
    elif how == "truncated":
        chunk.write_bytes(chunk.read_bytes()[:-4])
    else:
        chunk.write_bytes(os.urandom(chunk.stat().st_size))
    result = project.cli("results")
    assert result.code == 2
    assert "damaged" in result.err or "cannot be read" in result.err
    assert "Traceback" not in result.err
    project.ran()
    assert project.make("-B", "-o", "trained", "collated").code == 0
    assert project.ran() == []
    assert project.cli("results").code == 0


def test_a_copy_that_lost_files_is_an_error(project):
    """Without the store's stamp."""
    project.make()
    shutil.copytree(project.root / "collated.zarr", project.folder / "copy.zarr")
    assert project.cli("results", "copy.zarr").code == 0
    shutil.rmtree(project.folder / "copy.zarr" / "status")
    one_error(project.cli("results", "copy.zarr"), "another version of dasktune", "'status'")
    (project.folder / "copy.zarr" / "zarr.json").write_text("{")
    one_error(project.cli("results", "copy.zarr"), "cannot be read")


def test_results_of_an_older_version_are_read_or_told(project):
    """A dataset without what came later; stamps of another schema."""
    project.make()
    old = project.dataset().drop_vars("finished")
    for name in ("sweep", "trained_with", "conditional"):
        del old.attrs[name]
    old.drop_encoding().to_zarr(project.folder / "old.zarr", zarr_format=3, consolidated=False)
    assert project.cli("results", "old.zarr").code == 0
    assert project.cli("report", "old.zarr").code == 0
    for path in project.root.glob("trained/*/.stamp"):
        path.write_bytes(path.read_bytes().replace(b'{"dasktune":', b'{"dasktune":9'))
    one_error(project.cli("results", "--partial"), "no results in", "has schema 9")


def test_a_trial_names_its_folder_and_a_wrong_one_is_told(project):
    """With what was perhaps meant; and a copy says that it is one."""
    project.make()
    results = dt.open(project.root)
    assert os.path.exists(f"{results.folder()}/log.txt")
    trial = str(results.dataset.trial.values[0])
    with pytest.raises(dt.DasktuneError, match="Did you mean"):
        results.folder(trial.replace("a=1", "a=9"))
    shutil.copytree(project.root / "collated.zarr", project.folder / "copy" / "x.zarr")
    with pytest.raises(dt.DasktuneError, match="not part of a store"):
        dt.open(project.folder / "copy" / "x.zarr").folder()


def test_the_model_of_the_best_trial_is_loaded(project):
    """Into a module of the user's own."""
    import torch

    project.edit(
        'raise RuntimeError("told to fail")',
        "pass\n    import torch\n    layer = torch.nn.Linear(2, 1)\n"
        "    torch.nn.init.constant_(layer.weight, trial.config.a)\n    return layer",
    )
    assert project.make().code == 0
    model = dt.open(project.root).load_model(into=torch.nn.Linear(2, 1))
    assert model.weight.tolist() == [[2.0, 2.0]]


def test_a_trial_without_a_result_is_judged_by_no_objective(project):
    """One that crashed at once would win by its time."""
    project.make()
    dataset = project.dataset()
    dataset = dataset.assign_coords(status=("trial", np.array(["failed", *["ok"] * 3], object)))
    for text in ("min seconds", "max score"):
        judged = with_objective(dataset, text).objective.values
        assert np.isnan(judged[0])
        assert np.isfinite(judged[1:]).all()


def test_how_long_a_driver_has_told_nothing_is_known(tmp_path):
    """Nobody here can ask whether one on another machine lives."""
    folder = RunFolder(str(tmp_path))
    assert folder.silent_for() == math.inf
    folder.tell({"host": "elsewhere"})
    assert folder.silent_for() < SILENT
    os.utime(tmp_path / "live.json", (0, 0))
    assert folder.silent_for() > SILENT
