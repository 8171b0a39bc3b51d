"""The layout: how the bytes of an array lie in its one file of a Zarr v3 store.

An array is one file whose bytes are the array's, in C order and little-endian, so that it can be
memory-mapped. A small array is one chunk. A larger one is one shard of uncompressed chunks of
whole rows, in order, with the shard's index behind them: any reader of Zarr sees chunks of a
handy size, and whoever knows sees one array.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CHUNK = 4 * 1024**2
"""Bytes of one chunk, at most, unless a single row has more; `docs/data.md` says why."""

_DECODED = {"scale_factor", "add_offset", "missing_value", "_Unsigned", "units", "dtype"}
"""Attributes by which xarray may turn what is stored into something else."""
_NAN = ("NaN", "AAAAAAAA+H8=")
_INDEX_CODECS = (["bytes"], ["bytes", "crc32c"])


@dataclass(frozen=True)
class Layout:
    """How the bytes of an array lie in its file.

    Attributes
    ----------
    shape : tuple of int
        The array's.
    dtype : numpy.dtype
        The array's.
    rows : int
        Rows of one chunk.
    chunks : int
        Chunks in the file; one of one chunk has no index.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int
    chunks: int

    @classmethod
    def of(cls, shape: Sequence[int], dtype: np.dtype[Any]) -> Layout:
        """Lay out an array of at least one dimension and one element."""
        count = shape[0]
        row = dtype.itemsize * math.prod(shape[1:])
        chunks = math.ceil(count / max(1, CHUNK // row))
        rows = math.ceil(count / chunks)  # chunks of nearly equal size, so little padding
        return cls(tuple(shape), dtype, rows, math.ceil(count / rows))

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.nbytes + len(self.tail())

    def encoding(self) -> dict[str, Any]:
        """Give the layout in the words of xarray and zarr-python."""
        encoding: dict[str, Any] = {
            "chunks": (self.rows, *self.shape[1:]),
            "compressors": None,
            "filters": None,
        }
        if self.chunks > 1:
            encoding["shards"] = (self.chunks * self.rows, *self.shape[1:])
        return encoding

    def tail(self) -> bytes:
        """Give what follows the array: the padding of the last chunk, and the shard's index."""
        if self.chunks == 1:
            return b""
        row = self.nbytes // self.shape[0]
        padding = bytes(row * (self.chunks * self.rows - self.shape[0]))
        size = row * self.rows
        index = b"".join(struct.pack("<QQ", i * size, size) for i in range(self.chunks))
        return padding + index + checksum(index)

    def file(self) -> str:
        """Name the file, relative to the array's folder."""
        return "/".join(["c", *("0" for _ in self.shape)])


def checksum(data: bytes) -> bytes:
    """Give the CRC-32C of a shard's index, as Zarr writes it behind it."""
    import google_crc32c

    return struct.pack("<I", google_crc32c.value(data))


@dataclass(frozen=True)
class Region:
    """Where an array's bytes are in its file, if they are there as they are in memory.

    Attributes
    ----------
    shape : tuple of int
        The array's.
    dtype : numpy.dtype
        The array's.
    file : str
        The file, relative to the array's folder.
    index : int
        Entries of the shard's index, 0 if the file is no shard.
    chunk : int
        Bytes of one chunk.
    index_at : {"start", "end"}
        Where the index is.
    index_bytes : int
        Bytes of the index with its checksum.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file: str
    index: int = 0
    chunk: int = 0
    index_at: str = "end"
    index_bytes: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return self.dtype.itemsize * math.prod(self.shape)

    def start(self, index: bytes) -> int | None:
        """Read from a shard's index where the array starts; None if it is not in one piece."""
        if not self.index:
            return 0
        entries = np.frombuffer(index[: 16 * self.index], "<u8").reshape(self.index, 2)
        start = int(entries[0, 0])
        expected = start + np.arange(self.index, dtype="u8") * np.uint64(self.chunk)
        if start > 2**62 or (entries[:, 0] != expected).any():
            return None
        return start


def region(metadata: Mapping[str, Any]) -> Region | None:
    """Read from an array's ``zarr.json`` where its bytes are.

    Parameters
    ----------
    metadata : mapping
        The content of ``zarr.json``.

    Returns
    -------
    Region or None
        None if the array's bytes are not in one file as they are in memory: compressed, in
        several chunk files, of variable length, empty.
    """
    try:
        shape = tuple(metadata["shape"])
        dtype = np.dtype(metadata["data_type"])
        grid = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        key = metadata["chunk_key_encoding"]
        codecs = metadata["codecs"]
        separator = key.get("configuration", {}).get("separator", "/")
    except (KeyError, TypeError, AttributeError):
        return None
    if dtype.kind not in "fiubc" or not shape or not math.prod(shape):
        return None
    if key["name"] != "default" or any(c < s for c, s in zip(grid, shape, strict=True)):
        return None
    file = separator.join(["c", *("0" for _ in shape)])
    if _raw(codecs, dtype):
        # What follows the rows in a larger chunk is padding; a wider row would lie in between.
        return Region(shape, dtype, file) if grid[1:] == list(shape[1:]) else None
    if len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed":
        return None
    how = codecs[0]["configuration"]
    inner = how["chunk_shape"]
    names = [codec["name"] for codec in how["index_codecs"]]
    whole_rows = inner[1:] == list(shape[1:]) and grid[1:] == list(shape[1:])
    if not whole_rows or not _raw(how["codecs"], dtype) or names not in _INDEX_CODECS:
        return None
    if how["index_codecs"][0].get("configuration", {}).get("endian", "little") != "little":
        return None
    entries = math.ceil(shape[0] / inner[0])
    slots = grid[0] // inner[0]
    return Region(
        shape,
        dtype,
        file,
        index=entries,
        chunk=dtype.itemsize * math.prod(inner),
        index_at=how.get("index_location", "end"),
        index_bytes=16 * slots + (4 if "crc32c" in names else 0),
    )


def _raw(codecs: Sequence[Mapping[str, Any]], dtype: np.dtype[Any]) -> bool:
    """Say whether codecs leave the bytes as a little-endian machine has them."""
    if len(codecs) != 1 or codecs[0]["name"] != "bytes":
        return False
    endian = codecs[0].get("configuration", {}).get("endian", "little")
    return dtype.itemsize == 1 or endian == "little"


def as_stored(attributes: Mapping[str, Any]) -> bool:
    """Say whether an array's attributes let xarray give it as it is stored."""
    return not _DECODED & attributes.keys() and attributes.get("_FillValue", "NaN") in _NAN
