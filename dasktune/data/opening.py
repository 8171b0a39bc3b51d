"""Opening: one store at a time is open in a worker, for all its trials."""

from __future__ import annotations

import threading

from dasktune.data.splits import Data

_opened: dict[tuple[str, str], Data] = {}
_lock = threading.Lock()


def open_data(path: str, digest: str, splits: tuple[str, ...]) -> Data:
    """Open a preprocessed store, or give the one that this worker has open.

    Parameters
    ----------
    path : str
        The Zarr store.
    digest : str
        Digest of its content; a store with another content is opened anew.
    splits : sequence of str
        The names of the splits.
    """
    with _lock:
        if (path, digest) not in _opened:
            _opened.clear()  # one pipeline's data at a time; a worker's memory is for training
            _opened[path, digest] = Data(path, splits)
        return _opened[path, digest]
