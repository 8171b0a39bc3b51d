"""Opening: one store at a time is open in a worker, for all its trials."""

from __future__ import annotations

import threading

from dasktune.data.splits import Data
from dasktune.data.staging import Staging, stage
from dasktune.errors import DataError
from dasktune.stamp import Stamp
from dasktune.store import damaged_file

_opened: dict[tuple[str, str], Data] = {}
_lock = threading.Lock()


def open_data(folder: str, stamp: Stamp, staging: Staging | None = None) -> Data:
    """Open preprocessed data, or give what this worker has open.

    Parameters
    ----------
    folder : str
        The preprocessed target's folder.
    stamp : Stamp
        Its stamp; data with another content is opened anew.
    staging : Staging, optional
        Whether to read from a copy on the node's own disk; from the folder itself if not given.

    Raises
    ------
    DataError
        If a file is missing or has another size than when it was written.
    """
    with _lock:
        if (folder, stamp.digest) not in _opened:
            damage = damaged_file(folder, stamp)
            if damage:
                raise DataError(f"in the preprocessed data {folder}, {damage}. Run again.")
            place = stage(folder, stamp.body["files"], stamp.digest, staging or Staging("never"))
            _opened.clear()  # one pipeline's data at a time; a worker's memory is for training
            splits = tuple(stamp.body["splits"])
            _opened[folder, stamp.digest] = Data(f"{place}/data.zarr", splits)
        return _opened[folder, stamp.digest]
