"""Writing: what any reader of Zarr opens, and each array in one file."""

from __future__ import annotations

from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dasktune as dt
from dasktune.data import layout
from dasktune.fingerprint import file_digest
from dasktune.writing import write_split

DTYPES = st.sampled_from(["u1", "i2", ">i4", "i8", "f2", ">f4", "f8", "?", "c8", "c16"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, max_side=9))
)


def plain(path: Path, split: str = "train") -> xr.Dataset:
    """Open a split as somebody without dasktune would."""
    return xr.open_zarr(path, group=split, consolidated=False)


def check_same(expected: np.ndarray, path: Path) -> None:
    """Compare what xarray reads and what is mapped with what was written."""
    read = plain(path).x.values
    data = dt.Data(str(path), ("train",))
    mapped = data.array("train", "x")
    shown = data["train"].x.values
    for values in (read, mapped, shown):
        assert values.dtype == expected.dtype.newbyteorder("=")
        assert values.tobytes() == expected.astype(values.dtype).tobytes()
    assert np.shares_memory(mapped, shown)


@given(array=ARRAYS, chunk=st.integers(1, 200))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_written_is_what_xarray_reads_and_what_is_mapped(tmp_path_factory, array, chunk):
    """For any shape, dtype, order of bytes and size of chunks."""
    path = tmp_path_factory.mktemp("store") / "data.zarr"
    dims = [f"d{i}" for i in range(array.ndim)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK", chunk)
        digests = write_split(str(path), "train", xr.Dataset({"x": (dims, array)}))
    check_same(array, path)
    assert [file_digest(file) for file in digests] == list(digests.values())


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_dask_arrays_give_the_same_files_however_they_are_chunked(tmp_path_factory, data):
    """So that chunking is no reason to train anew."""
    folder = tmp_path_factory.mktemp("stores")
    array = data.draw(ARRAYS)
    chunks = [
        data.draw(st.lists(st.integers(1, 4), min_size=1).map(lambda c, n=n: _split(n, c)))
        for n in array.shape
    ]
    dims = [f"d{i}" for i in range(array.ndim)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK", data.draw(st.integers(1, 200)))
        lazy = da.from_array(array, chunks=tuple(chunks))
        for name, x in (("memory", array), ("dask", lazy)):
            write_split(str(folder / name), "train", xr.Dataset({"x": (dims, x)}))
    check_same(array, folder / "dask")
    files = [
        {
            str(file.relative_to(folder / name)): file_digest(str(file))
            for file in (folder / name).rglob("*")
            if file.is_file()
        }
        for name in ("memory", "dask")
    ]
    assert files[0] == files[1]


def _split(length: int, parts: list[int]) -> tuple[int, ...]:
    """Cut a length into parts, the last of which takes the rest."""
    chunks: list[int] = []
    for part in parts:
        if sum(chunks) + part < length:
            chunks.append(part)
    return (*chunks, length - sum(chunks))


def test_what_variables_share_is_computed_once(tmp_path):
    """Inputs and targets come from the same files."""
    calls = []

    @dask.delayed
    def load():
        calls.append(1)
        return np.arange(12.0)

    source = da.from_delayed(load(), (12,), "float64")
    dataset = xr.Dataset({"x": ("row", source), "y": ("row", source * 2)})
    write_split(str(tmp_path / "data.zarr"), "train", dataset)
    assert calls == [1]
    assert plain(tmp_path / "data.zarr").y.values[-1] == 22


def test_a_dataset_that_was_opened_lazily_is_read_in_pieces(tmp_path):
    """And is as it was, coordinates and attributes too."""
    dataset = xr.Dataset(
        {"x": (("row", "column"), np.arange(12.0).reshape(4, 3), {"unit": "mm"})},
        coords={"row": [3, 1, 2, 0], "weight": ("row", [0.5, 1.0, 1.5, 2.0])},
        attrs={"source": "somewhere"},
    )
    dataset.to_netcdf(tmp_path / "in.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "in.nc", engine="scipy") as lazy:
        write_split(str(tmp_path / "data.zarr"), "train", lazy)
    read = plain(tmp_path / "data.zarr").load()
    xr.testing.assert_identical(read, dataset)
    xr.testing.assert_identical(dt.Data(str(tmp_path / "data.zarr"), ("train",))["train"], dataset)


def test_dates_texts_and_scalars_come_back_too(tmp_path):
    """What cannot be mapped is read as ever."""
    dataset = xr.Dataset(
        {
            "day": ("row", np.array(["2026-01-01", "2026-01-02"], "M8[ns]")),
            "word": ("row", np.array(["a", "dé"])),
            "lazy": ("row", da.from_array(np.array(["p", "q"], object), chunks=1)),
            "none": (("row", "nothing"), np.zeros((2, 0))),
            "one": ((), 5.0),
        }
    )
    write_split(str(tmp_path / "data.zarr"), "train", dataset)
    data = dt.Data(str(tmp_path / "data.zarr"), ("train",))["train"]
    assert data.day.values.tolist() == dataset.day.values.tolist()
    assert data.word.values.tolist() == ["a", "dé"]
    assert data.lazy.values.tolist() == ["p", "q"]
    assert data.none.shape == (2, 0)
    assert data.one.item() == 5.0


def test_attributes_by_which_xarray_decodes_count(tmp_path):
    """A mapped array shows what xarray would, or is not mapped."""
    packed = np.array([1, 2, 3], "int16")
    dataset = xr.Dataset(
        {
            "scaled": ("row", packed, {"scale_factor": 0.5}),
            "days": ("row", np.array([0, 1, 2]), {"units": "days since 2000-01-01"}),
            "metres": ("row", np.array([0.0, 1.0, 2.0]), {"units": "m"}),
        }
    )
    write_split(str(tmp_path / "data.zarr"), "train", dataset)
    data = dt.Data(str(tmp_path / "data.zarr"), ("train",))
    xr.testing.assert_identical(data["train"], plain(tmp_path / "data.zarr").load())
    assert data.array("train", "scaled").tolist() == [0.5, 1.0, 1.5]
    assert data.array("train", "metres").tolist() == [0, 1, 2]


def test_a_large_array_is_read_in_chunks_by_others(tmp_path):
    """One file, but nobody must read all of it for a row."""
    x = np.arange(3 * 1024**2, dtype="float64").reshape(-1, 64)
    write_split(str(tmp_path / "data.zarr"), "train", xr.Dataset({"x": (("row", "column"), x)}))
    files = (tmp_path / "data.zarr" / "train" / "x" / "c").rglob("*")
    (file,) = [file for file in files if file.is_file()]
    assert file.read_bytes()[: x.nbytes] == x.tobytes()
    chunks = plain(tmp_path / "data.zarr").x.encoding["chunks"]
    assert chunks[0] * 64 * 8 <= layout.CHUNK
    check_same(x, tmp_path / "data.zarr")
