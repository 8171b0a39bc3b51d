"""Preprocessing: splits, chunk by chunk, and raw inputs by their content."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

import dasktune as dt

LAZY = """
import resource

import dask.array as da
import numpy as np
import xarray as xr

import dasktune as dt


def preprocess(rows: int = 64):
    def block(block_info):
        shape = block_info[None]["chunk-shape"]
        return np.full(shape, block_info[None]["chunk-location"][0], "float32")

    x = da.map_blocks(block, chunks=((1024,) * rows, 4096), dtype="float32")
    return {"train": xr.Dataset({"x": (("row", "column"), x)})}


def train(trial, data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = data["train"].x
    for index in range(0, rows.shape[0], 8192):
        assert (rows[index : index + 8] == index // 1024).all()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    trial.report(megabytes=grown / 1024)


pipeline = dt.Pipeline(dt.Space(a=dt.choice(1)), preprocess, train, objective="min megabytes")
"""


def test_one_group_a_split_in_one_store(project):
    """Zarr v3, which any reader opens."""
    project.make("preprocessed")
    folder = next((project.root / "preprocessed").iterdir())
    group = zarr.open_group(folder / "data.zarr", mode="r", zarr_format=3)
    assert list(group.group_keys()) == ["train"]
    dataset = xr.open_zarr(folder / "data.zarr", group="train", consolidated=False)
    assert dataset.x.values.tolist() == [0, 1, 2, 3]


def test_data_chunked_by_dask_is_written_and_read_chunk_by_chunk(tmp_path, run_cli):
    """One gigabyte never is in memory at once."""
    (tmp_path / "lazy.py").write_text(LAZY)
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = ["-f", str(tmp_path / "lazy.py"), "--store", str(tmp_path / "dist")]
    result = run_cli(["make", *words, "--cluster", "none"])
    assert result.code == 0, result.err
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 600
    dataset = dt.open_results(tmp_path / "dist" / "lazy")
    assert dataset.megabytes.item() < 300
    shutil.rmtree(tmp_path / "dist")


@pytest.fixture
def with_inputs(project):
    """Give a project that reads a file and a folder."""
    (project.folder / "raw.txt").write_text("1 2 3")
    (project.folder / "raw").mkdir()
    (project.folder / "raw" / "one").write_text("1")
    project.edit('objective="max score")', 'objective="max score", inputs=["raw.txt", "raw"])')
    project.make()
    project.ran()
    return project


def test_a_raw_input_counts_by_its_content_not_by_its_time(with_inputs):
    """A touched file is the same file."""
    os.utime(with_inputs.folder / "raw.txt", (1, 1))
    with_inputs.make()
    assert with_inputs.ran() == []
    (with_inputs.folder / "raw.txt").write_text("1 2 4")
    assert "raw input raw.txt changed" in with_inputs.cli("why", "preprocessed").out
    with_inputs.make()
    assert with_inputs.ran() == ["preprocess"]
    (with_inputs.folder / "raw.txt").write_text("1 2 3")
    with_inputs.make()
    assert with_inputs.ran() == []


@pytest.mark.parametrize("change", ["new", "changed", "renamed", "gone"])
def test_a_folder_counts_by_all_its_files(with_inputs, change):
    """Names and contents."""
    raw = with_inputs.folder / "raw"
    if change == "new":
        (raw / "two").write_text("2")
    elif change == "changed":
        (raw / "one").write_text("0")
    elif change == "renamed":
        (raw / "one").rename(raw / "eins")
    else:
        (raw / "one").unlink()
    with_inputs.make()
    assert with_inputs.ran() == ["preprocess"]


def test_a_missing_raw_input_is_one_line(with_inputs):
    """With its path."""
    (with_inputs.folder / "raw.txt").unlink()
    result = with_inputs.make()
    assert result.code == 2
    assert "the raw input 'raw.txt' cannot be read: No such file" in result.err


def test_a_missing_chunk_is_noticed_and_made_again(project):
    """Before a trial trains on half of its data."""
    project.make()
    project.ran()
    folder = next((project.root / "preprocessed").iterdir())
    chunk = next(path for path in (folder / "data.zarr").rglob("c/0"))
    chunk.unlink()
    project.make()
    assert project.ran() == ["preprocess"]
    assert chunk.exists()


def test_shared_arrays_cannot_be_changed_by_a_trial(project):
    """All trials of a worker read the same memory."""
    project.edit('note("train " + trial.id)', 'data["train"].x.values[0] = 5')
    result = project.make("-k")
    assert result.code == 2
    assert "read-only" in result.err


def test_shared_tensors_that_a_trial_changes_fail_it(project):
    """They cannot be made read-only, so the change is found."""
    project.edit('note("train " + trial.id)', 'data.tensor("train", "x").add_(1)')
    result = project.make("-k")
    assert result.code == 2
    assert "in place, which all trials" in result.err


def test_dtypes_and_texts_survive_the_store(project):
    """Integers, booleans, halves and words."""
    project.edit(
        '"x": ("row", np.arange(rows, dtype="float32"))',
        '"x": ("row", np.arange(rows, dtype="float16")), "i": ("row", np.arange(rows)), '
        '"b": ("row", np.arange(rows) > 1), "w": ("row", np.array(["a", "b", "c", "dé"]))',
    )
    assert project.make("preprocessed").code == 0
    folder = next((project.root / "preprocessed").iterdir())
    data = dt.Data(str(folder / "data.zarr"), ("train",))["train"]
    assert data.x.dtype == np.float16
    assert data.i.dtype == np.int64
    assert data.b.values.tolist() == [False, False, True, True]
    assert data.w.values.tolist() == ["a", "b", "c", "dé"]
