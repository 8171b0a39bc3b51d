"""Memory-mapping: the arrays of a store as they lie in the page cache, one copy a node."""

from __future__ import annotations

import errno
import json
import mmap
import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasktune.data.layout import Region, as_stored, region
from dasktune.errors import DataError

READ_AHEAD = 2 * 1024**3
"""Bytes up to which the system is told to read a whole array as soon as it is mapped."""

_LINUX_NORESERVE = {"x86_64": 0x4000, "aarch64": 0x4000, "ppc64le": 0x40}
_NORESERVE = (
    _LINUX_NORESERVE.get(platform.machine(), 0) if sys.platform == "linux" else 0
)  # without it a writable private mapping larger than memory is refused


@dataclass(frozen=True)
class Mapped:
    """A mapped array.

    Attributes
    ----------
    values : numpy.ndarray
        Read-only.
    as_stored : bool
        Whether xarray would give the same values, by the array's attributes.
    path : str
        The file.
    start : int
        Where the array begins in it.
    """

    values: np.ndarray[Any, Any]
    as_stored: bool
    path: str
    start: int


def map_array(folder: str) -> Mapped | None:
    """Map an array of a Zarr store, if its bytes lie in one file as they do in memory.

    The array refuses changes. A tensor over it does not, so the mapping is private: what
    changes is a copy of the page, in this process alone, and never the file.

    Parameters
    ----------
    folder : str
        The array's folder, with its ``zarr.json``.

    Returns
    -------
    Mapped or None
        None if it must be read by other means.

    Raises
    ------
    DataError
        If the array's file is missing or too short.
    """
    try:
        with open(f"{folder}/zarr.json", "rb") as file:
            metadata = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    where = region(metadata) if metadata.get("node_type") == "array" else None
    if where is None or sys.byteorder != "little":
        return None
    path = f"{folder}/{where.file}"
    found = _map(path, where)
    if found is None:
        return None
    values, start = found
    return Mapped(values, as_stored(metadata.get("attributes", {})), path, start)


def _map(path: str, where: Region) -> tuple[np.ndarray[Any, Any], int] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # Zarr may leave out a chunk that holds nothing but zeros; then so do we.
        return None
    try:
        size = os.fstat(descriptor).st_size
        index = b""
        if where.index:
            at = 0 if where.index_at == "start" else max(0, size - where.index_bytes)
            index = os.pread(descriptor, where.index_bytes, at)
        whole = not where.index or len(index) == where.index_bytes
        start = where.start(index) if whole else 0
        if not whole or (start is not None and start + where.nbytes > size):
            raise DataError(
                f"{path} has {size} bytes, fewer than its array. Run again to make it anew."
            )
        if start is None:
            return None
        flags, protection = mmap.MAP_PRIVATE | _NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        try:
            mapping = mmap.mmap(descriptor, size, flags=flags, prot=protection)
        except OSError as error:
            if error.errno in (errno.ENOMEM, errno.ENODEV):
                return None  # no room by the system's rules, or a file system without maps
            raise
    finally:
        os.close(descriptor)
    if where.nbytes <= READ_AHEAD:
        mapping.madvise(mmap.MADV_WILLNEED)
    count = where.nbytes // where.dtype.itemsize
    values = np.frombuffer(mapping, where.dtype, count, start).reshape(where.shape)
    values.flags.writeable = False
    return values, start
