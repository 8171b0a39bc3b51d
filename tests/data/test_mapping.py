"""Memory-mapping: one copy a node, which nobody can spoil."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

import dasktune as dt
from dasktune.data import mapping
from dasktune.data.mapping import map_array
from dasktune.errors import DataError
from dasktune.writing import write_split

X = np.arange(60, dtype="float32").reshape(12, 5)


@pytest.fixture
def path(tmp_path):
    """Give a store with one array."""
    write_split(str(tmp_path / "data.zarr"), "train", xr.Dataset({"x": (("row", "column"), X)}))
    return str(tmp_path / "data.zarr")


FOREIGN = {
    "one chunk": ({"compressors": None}, True),
    "a chunk larger than the array": ({"compressors": None, "chunks": (20, 5)}, True),
    "a chunk with wider rows": ({"compressors": None, "chunks": (12, 8)}, False),
    "several chunk files": ({"compressors": None, "chunks": (4, 5)}, False),
    "compressed": ({}, False),
    "a shard": ({"compressors": None, "chunks": (4, 5), "shards": (12, 5)}, True),
    "a shard with padding": ({"compressors": None, "chunks": (5, 5), "shards": (20, 5)}, True),
    "a shard of columns": ({"compressors": None, "chunks": (12, 1), "shards": (12, 5)}, False),
    "a compressed shard": ({"chunks": (4, 5), "shards": (12, 5)}, False),
    "big-endian": (
        {"compressors": None, "serializer": zarr.codecs.BytesCodec(endian="big")},
        False,
    ),
    "the index first": (
        {
            "compressors": None,
            "serializer": zarr.codecs.ShardingCodec(
                chunk_shape=(4, 5), codecs=[zarr.codecs.BytesCodec()], index_location="start"
            ),
        },
        True,
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_any_store_is_mapped_if_its_bytes_lie_as_in_memory(tmp_path, name):
    """And is read by other means if they do not."""
    how, can_be_mapped = FOREIGN[name]
    group = zarr.open_group(tmp_path / "data.zarr", mode="w", zarr_format=3)
    array = group.create_group("train").create_array(
        "x", shape=X.shape, dtype=X.dtype, dimension_names=("row", "column"), **how
    )
    array[:] = X
    mapped = map_array(str(tmp_path / "data.zarr" / "train" / "x"))
    assert (mapped is not None) is can_be_mapped
    data = dt.Data(str(tmp_path / "data.zarr"), ("train",))
    assert (data.array("train", "x") == X).all()
    assert (data["train"].x.values == X).all()
    assert not data["train"].x.values.flags.writeable


def test_the_chunks_of_a_shard_in_another_order_are_no_array(path):
    """The index says where they are."""
    folder = f"{path}/train/x"
    with open(f"{folder}/zarr.json") as file:
        metadata = json.load(file)
    metadata["codecs"] = [
        {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [6, 5],
                "codecs": metadata["codecs"],
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            },
        }
    ]
    with open(f"{folder}/zarr.json", "w") as file:
        json.dump(metadata, file)
    index = np.array([[120, 120], [0, 120]], "<u8")
    with open(f"{folder}/c/0/0", "wb") as file:
        file.write(X[6:].tobytes() + X[:6].tobytes() + index.tobytes())
    assert map_array(folder) is None
    assert (dt.Data(path, ("train",))["train"].x.values == X).all()


@pytest.mark.parametrize("size", [0, 7, 239])
def test_a_file_that_is_too_short_is_told(path, size):
    """Instead of a bus error when its end is used."""
    with open(f"{path}/train/x/c/0/0", "r+b") as file:
        file.truncate(size)
    with pytest.raises(DataError, match=f"has {size} bytes, fewer than its array"):
        dt.Data(path, ("train",)).tensor("train", "x")


def test_a_tensor_that_is_changed_changes_neither_the_file_nor_the_next_trial(path):
    """Nor does the process die of it."""
    data = dt.Data(path, ("train",))
    data.tensor("train", "x").mul_(0)
    with pytest.raises(DataError, match="in place, which all trials"):
        data.check_unchanged()
    assert (data.tensor("train", "x").numpy() == X).all()
    assert (dt.Data(path, ("train",))["train"].x.values == X).all()
    data.check_unchanged()


def test_an_array_larger_than_memory_is_mapped(tmp_path):
    """A private mapping that is not reserved costs nothing."""
    shape = (2**30, 256)  # 256 GiB, sparse
    group = zarr.open_group(tmp_path / "data.zarr", mode="w", zarr_format=3)
    group.create_group("train").create_array(
        "x", shape=shape, dtype="u1", chunks=shape, compressors=None
    )
    file = tmp_path / "data.zarr" / "train" / "x" / "c" / "0" / "0"
    file.parent.mkdir(parents=True)
    with open(file, "wb") as sparse:
        sparse.truncate(shape[0] * shape[1])
    mapped = map_array(str(tmp_path / "data.zarr" / "train" / "x"))
    assert mapped is not None
    assert mapped.values[-1].sum() == 0


def test_what_the_system_does_not_map_is_read(path, monkeypatch):
    """For instance where memory may not be overcommitted."""

    def refuse(*arguments, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mapping.mmap, "mmap", refuse)
    data = dt.Data(path, ("train",))
    assert torch.equal(data.tensor("train", "x"), torch.from_numpy(X))


SHARE = """
import sys

import dasktune as dt

x = dt.Data(sys.argv[1], ("train",)).array("train", "x")
x.sum()
print("ready", flush=True)
sys.stdin.readline()
address = x.ctypes.data
with open("/proc/self/smaps") as file:
    inside = False
    for line in file:
        first, _, rest = line.partition(" ")
        if "-" in first:
            low, high = (int(word, 16) for word in first.split("-"))
            inside = low <= address < high
        elif inside and first in ("Rss:", "Pss:", "Anonymous:"):
            print(first, rest.split()[0], flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells no proportional set size")
def test_two_processes_share_one_copy(tmp_path):
    """The proportional set size of each is half of the data, and none of it is its own."""
    x = np.ones((4096, 4096), "u1")
    write_split(str(tmp_path / "data.zarr"), "train", xr.Dataset({"x": (("row", "column"), x)}))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, str(tmp_path / "data.zarr")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
            sizes = dict(worker.stdout.readline().split() for _ in range(3))
            assert int(sizes["Rss:"]) >= x.nbytes // 1024
            assert int(sizes["Pss:"]) <= 0.6 * x.nbytes / 1024
            assert int(sizes["Anonymous:"]) == 0
    finally:
        for worker in workers:
            worker.communicate("\n\n", timeout=60)
