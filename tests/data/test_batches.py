"""Batches: the same samples in the same order, in memory of a given size."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dasktune as dt
from dasktune.data import order, splits
from dasktune.data.order import Order, parse_bytes
from dasktune.errors import DataError
from dasktune.writing import write_split

ROWS = 1000


def write(path, compressed=False):
    """Write x with its row's number in each column, and y with the number."""
    x = np.repeat(np.arange(ROWS, dtype="float32")[:, None], 16, 1)
    dataset = xr.Dataset({"x": (("row", "column"), x), "y": ("row", np.arange(ROWS))})
    if compressed:
        encoding = {"x": {"chunks": (30, 16)}, "y": {"chunks": (50,)}}
        dataset.to_zarr(path, group="train", zarr_format=3, consolidated=False, encoding=encoding)
    else:
        write_split(str(path), "train", dataset)
    return dt.Data(str(path), ("train",))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Give data of which 10 rows are a block."""
    monkeypatch.setattr(order, "BLOCK", 10 * 72)
    return write(tmp_path / "data.zarr")


def rows(batches):
    """List the rows of batches, and check that inputs and targets belong together."""
    found = []
    for x, y in batches:
        assert (x == y[:, None]).all()
        found += y.tolist()
    return found


def small(data, **options):
    """Give batches of 32 with a buffer of a sixth of the data."""
    how = {"seed": 1, "epoch": 2, "buffer": 12_000} | options
    return data.batches("train", ("x", "y"), 32, **how)


@pytest.mark.parametrize("buffer", [12_000, "1 GiB"])
def test_every_sample_comes_once_an_epoch(data, buffer):
    """In batches of equal size but for the last."""
    batches = small(data, buffer=buffer)
    sizes = [len(y) for _, y in batches]
    assert sizes == [32] * 31 + [8]
    assert len(batches) == 32
    found = rows(batches)
    assert sorted(found) == list(range(ROWS))
    assert found != sorted(found)


def test_the_order_is_a_function_of_seed_and_epoch_alone(data, tmp_path):
    """Whoever asks, and whatever was asked before."""
    first = rows(small(data))
    list(small(data, epoch=5))
    again = dt.Data(str(tmp_path / "data.zarr"), ("train",))
    torch.manual_seed(5)
    np.random.seed(5)
    assert rows(small(again)) == first
    assert rows(small(data, epoch=3)) != first
    assert rows(small(data, seed=2)) != first


def test_a_batch_mixes_rows_from_all_over_the_split(data):
    """Windows hold blocks that do not lie next to each other."""
    _, y = next(iter(small(data)))
    assert len(set((y // 10).tolist())) > 3
    assert y.max() - y.min() > ROWS // 3


@pytest.mark.parametrize("buffer", [12_000, "1 GiB"])
def test_unshuffled_batches_are_in_the_order_of_the_file(data, buffer):
    """For validation."""
    assert rows(small(data, buffer=buffer, shuffle=False)) == list(range(ROWS))


def test_a_last_small_batch_can_be_left_out(data):
    """Where a model cannot take it."""
    for buffer in (12_000, "1 GiB"):
        batches = small(data, buffer=buffer, drop_last=True)
        assert {len(y) for _, y in batches} == {32}
        assert len(list(batches)) == len(batches) == 31


@pytest.mark.parametrize("buffer", [12_000, "1 GiB"])
def test_batches_are_the_users_own(data, buffer):
    """Changing one in place, as augmentation does, is allowed."""
    for x, _ in small(data, buffer=buffer):
        x.mul_(0)
    data.check_unchanged()
    assert len(rows(small(data, buffer=buffer))) == ROWS


@pytest.mark.parametrize("in_memory", [0, 2**31])
def test_compressed_data_is_read_chunk_by_chunk(tmp_path, monkeypatch, in_memory):
    """By windows of whole chunks."""
    monkeypatch.setattr(splits, "IN_MEMORY", in_memory)
    data = write(tmp_path / "data.zarr", compressed=True)
    assert sorted(rows(small(data))) == list(range(ROWS))


@given(
    count=st.integers(0, 300),
    row=st.integers(1, 50),
    batch=st.integers(1, 20),
    buffer=st.integers(1, 20_000),
    chunk=st.integers(0, 40),
    seed=st.integers(0, 5),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_two_windows_and_two_batches_fit_into_the_buffer(count, row, batch, buffer, chunk, seed):
    """Whatever the sizes; or it is refused, with the size that does."""
    try:
        plan = Order.of(count, row, batch_size=batch, buffer=buffer, chunk=chunk)
    except DataError as error:
        least = int(str(error).split("take ")[1].split(".")[0].replace(",", ""))
        plan = Order.of(count, row, batch_size=batch, buffer=least, chunk=chunk)
        buffer = least
    windows = list(plan.windows(seed, 0, shuffle=True))
    largest = max((len(window.order) for window in windows), default=0)
    assert 2 * row * (largest + batch) <= buffer
    covered = [n for window in windows for start, to in window.spans for n in range(start, to)]
    assert sorted(covered) == list(range(count))
    assert all(sorted(w.order) == list(range(len(w.order))) for w in windows)


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [(5, 5), ("1 GiB", 2**30), ("2.5 MB", 2_500_000), ("64KiB", 65536), ("7", 7), ("3 B", 3)],
)
def test_sizes_are_read_as_people_write_them(size, bytes_):
    """With decimal and binary prefixes."""
    assert parse_bytes(size) == bytes_


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"buffer": "much"}, "'1 GiB', but got 'much'"),
        ({"buffer": -1}, "but got -1"),
        ({"buffer": True}, "but got True"),
        ({"buffer": 100}, "is too small"),
        ({"batch_size": 0}, "batch_size must be an int of at least 1, but got 0"),
        ({"seed": -1}, "seed must be an int of at least 0, but got -1"),
        ({"epoch": 0.5}, "epoch must be an int of at least 0, but got 0.5"),
        ({"names": ("x", "z")}, "no variable 'z'"),
        ({"names": ("x", "scalar")}, "must have equal lengths"),
        ({"names": ()}, "at least one"),
        ({"split": "trian"}, "Did you mean 'train'"),
    ],
)
def test_what_cannot_be_is_told_with_the_fix(tmp_path, how, text):
    """Before anything is read."""
    dataset = xr.Dataset({"x": ("row", np.arange(500.0)), "scalar": ((), 1.0)})
    write_split(str(tmp_path / "data.zarr"), "train", dataset)
    data = dt.Data(str(tmp_path / "data.zarr"), ("train",))
    with pytest.raises(DataError, match=text):
        data.batches(**({"split": "train", "names": ("x",), "batch_size": 8} | how))


def test_texts_are_no_tensors(tmp_path):
    """And that is said."""
    write_split(str(tmp_path / "d"), "train", xr.Dataset({"w": ("row", np.array(["a", "b"]))}))
    with pytest.raises(DataError, match="cannot be tensors"):
        next(iter(dt.Data(str(tmp_path / "d"), ("train",)).batches("train", "w", 1)))


def test_a_split_without_samples_has_no_batches(tmp_path):
    """Nor an error."""
    write_split(str(tmp_path / "d"), "train", xr.Dataset({"x": ("row", np.zeros(0))}))
    assert list(dt.Data(str(tmp_path / "d"), ("train",)).batches("train", "x", 4)) == []


def test_leaving_in_the_middle_leaves_no_thread_behind(data):
    """A trial may stop early, or fail."""
    before = threading.active_count()
    batches = iter(small(data))
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_an_error_of_reading_reaches_the_trial(data, tmp_path):
    """A disk may fail in the middle of an epoch."""
    batches = small(data)
    file = next(f for f in (tmp_path / "data.zarr/train/x/c").rglob("*") if f.is_file())
    with open(file, "r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    with pytest.raises(OSError, match="ends at byte"):
        rows(batches)


MEMORY = """
import resource, sys
import torch
import dasktune as dt

data = dt.Data(sys.argv[1], ("train",))
for x, in data.batches("train", "x", 256, buffer="8 MB"):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = 0
for x, in data.batches("train", "x", 256, buffer=sys.argv[2]):
    total += len(x)
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_below_the_buffer(tmp_path):
    """An epoch over 512 MiB with a buffer of 64 MiB."""
    shape = (2**17, 4096)
    group = zarr.open_group(tmp_path / "data.zarr", mode="w", zarr_format=3)
    group.create_group("train").create_array(
        "x", shape=shape, dtype="u1", chunks=shape, compressors=None, dimension_names=("r", "c")
    )
    file = tmp_path / "data.zarr" / "train" / "x" / "c" / "0" / "0"
    file.parent.mkdir(parents=True)
    with open(file, "wb") as sparse:
        sparse.truncate(shape[0] * shape[1])
    words = [sys.executable, "-c", MEMORY, str(tmp_path / "data.zarr"), "64 MiB"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    total, grown = map(int, done.stdout.split())
    assert total == shape[0]
    assert grown < 64 * 1024 * 1.1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("buffer", [12_000, "1 GiB"])
def test_batches_on_a_gpu_are_those_of_the_cpu(data, buffer):
    """Copied one ahead, each whole."""
    expected = list(small(data, buffer=buffer))
    found = list(small(data, buffer=buffer, device="cuda"))
    assert all(x.is_cuda and y.is_cuda for x, y in found)
    for (x, y), (ex, ey) in zip(found, expected, strict=True):
        assert torch.equal(x.cpu(), ex)
        assert torch.equal(y.cpu(), ey)
