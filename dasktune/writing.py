"""Writing: a split as a group of a Zarr v3 store, each array as one file that can be mapped."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.data.hashing import BLOCK, write_hashed
from dasktune.data.layout import Layout

if TYPE_CHECKING:
    import xarray as xr


def write_split(path: str, split: str, dataset: xr.Dataset) -> dict[str, str]:
    """Write a split into a store, which any reader of Zarr opens.

    Parameters
    ----------
    path : str
        The Zarr store.
    split : str
        The group's name.
    dataset : xarray.Dataset
        In memory, or chunked by Dask: then computed and written chunk by chunk, on threads of
        this process. (Inside of a worker the cluster's own scheduler would wait for this very
        task.)

    Returns
    -------
    dict of str to str
        Digests of the files that were hashed while they were written, by path.
    """
    import dask
    import dask.array

    dataset = _texts_as_objects(dataset).drop_encoding()
    arrays = {name: v for name, v in dataset.variables.items() if _is_array(dataset, name)}
    rest = [name for name in dataset.variables if name not in arrays]
    dataset = dataset.assign({name: dataset[name].load() for name in rest if name in dataset})
    layouts = {name: Layout.of(v.shape, _little(v.dtype)) for name, v in arrays.items()}
    # xarray writes all that describes the arrays, and we their bytes: it copies them otherwise,
    # several times. So it is given arrays that are never computed.
    hollow = {
        name: (v.dims, dask.array.zeros(v.shape, dtype=layouts[name].dtype, chunks=-1), v.attrs)
        for name, v in arrays.items()
    }
    described = dataset.assign({n: v for n, v in hollow.items() if n not in dataset.coords})
    described = described.assign_coords({n: v for n, v in hollow.items() if n in dataset.coords})
    described.to_zarr(
        path,
        group=split,
        mode="w",
        zarr_format=3,
        consolidated=False,
        compute=False,
        safe_chunks=False,
        encoding={name: layout.encoding() for name, layout in layouts.items()},
    )
    digests: dict[str, str] = {}
    lazy, targets = [], []
    for name, variable in arrays.items():
        file = f"{path}/{split}/{name}/{layouts[name].file()}"
        os.makedirs(os.path.dirname(file))
        if variable.chunks is None:
            digests[file] = _write_array(file, variable, layouts[name])
        else:
            lazy.append(variable.data)
            targets.append(_Target(file, layouts[name]))
    try:
        with dask.config.set(scheduler="threads"):
            # All at once: what several variables are computed from is computed once.
            dask.array.store(lazy, targets, lock=False)
    finally:
        for target in targets:
            target.close()
    return digests


def _texts_as_objects(dataset: xr.Dataset) -> xr.Dataset:
    """Make texts of fixed length, which Zarr v3 does not specify, texts of any length."""
    texts = {n: v.astype(object) for n, v in dataset.variables.items() if v.dtype.kind == "U"}
    dataset = dataset.assign({n: v for n, v in texts.items() if n not in dataset.coords})
    return dataset.assign_coords({n: v for n, v in texts.items() if n in dataset.coords})


def _is_array(dataset: xr.Dataset, name: Any) -> bool:
    variable = dataset.variables[name]
    plain = variable.dtype.kind in "fiubc" and variable.dtype.itemsize <= 16
    return bool(plain and variable.ndim and variable.size and name not in dataset.indexes)


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def _write_array(path: str, variable: xr.Variable, layout: Layout) -> str:
    """Write an array that is in memory, or in a file that somebody opened lazily."""
    row = layout.nbytes // layout.shape[0]
    step = max(1, BLOCK // row)
    blocks = (
        np.ascontiguousarray(variable[start : start + step].values, layout.dtype)
        for start in range(0, layout.shape[0], step)
    )
    return write_hashed(path, itertools.chain(map(_bytes, blocks), [memoryview(layout.tail())]))


def _bytes(array: np.ndarray[Any, Any]) -> memoryview:
    return array.reshape(-1).view("u1").data


class _Target:
    """Takes the blocks of a Dask array, in any order and from several threads."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.shape = layout.shape
        self.dtype = layout.dtype
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        tail = layout.tail()
        _write_at(self._file, memoryview(tail), layout.nbytes)

    def __setitem__(self, where: tuple[slice, ...], block: np.ndarray[Any, Any]) -> None:
        block = np.ascontiguousarray(block, self.dtype)
        for offset, piece in _pieces(self.shape, where, block):
            _write_at(self._file, _bytes(piece), offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _pieces(
    shape: tuple[int, ...], where: tuple[slice, ...], block: np.ndarray[Any, Any]
) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Cut a block into pieces that lie in one piece in the whole array, with their offsets."""
    starts = [part.start or 0 for part in where]
    strides = [block.itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, strides[0] * length)
    # Behind the last dimension that the block does not span, rows lie next to each other.
    cut = max((d for d in range(1, len(shape)) if block.shape[d] != shape[d]), default=0)
    first = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    for index in np.ndindex(block.shape[:cut]):
        yield first + sum(i * s for i, s in zip(index, strides, strict=False)), block[index]


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data.nbytes:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
