"""Opening: the newest results that a folder holds, collated or not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dasktune.errors import StoreError, UsageError
from dasktune.results import open_results
from dasktune.store import Store

if TYPE_CHECKING:
    import xarray as xr


def read(path: str | os.PathLike[str], *, partial: bool | None = None) -> xr.Dataset:
    """Read the newest results of a store, or a dataset; see `dasktune.open`."""
    from dasktune.reading.ended import newest_change
    from dasktune.reading.partial import read_partial
    from dasktune.reading.training import in_training

    folder = os.fspath(path)
    store = store_of(folder)
    if partial and store is None:
        raise UsageError(
            f"partial results are read from the stamps in dist/<pipeline>, but {folder} has none."
        )
    if store is not None and partial is None and folder.rstrip("/") != store.view:
        # A link to the collation is made anew each time that one is up to date.
        partial = newest_change(store) > _made(store.view) or in_training(store)
    if partial and store is not None:
        dataset = read_partial(store)
        dataset.encoding["source"] = store.root
        return dataset
    dataset = open_results(folder)
    dataset.encoding["source"] = os.path.realpath(
        f"{folder}/collated.zarr" if os.path.isdir(f"{folder}/collated.zarr") else folder
    )
    return dataset


def store_of(path: str) -> Store | None:
    """Find the store that a folder is, or that a dataset in it belongs to."""
    for folder in (os.path.abspath(path), os.path.realpath(path)):
        for _ in range(4):  # dist/<pipeline>/collated/<key>/results.zarr
            if os.path.isdir(f"{folder}/trained"):
                return Store(folder)
            folder = os.path.dirname(folder)
    return None


def required_store(path: str) -> Store:
    """Find the store, or say what it is needed for."""
    store = store_of(path)
    if store is None:
        raise StoreError(
            f"{path} is not part of a store, which holds models and older results. "
            "Name the folder dist/<pipeline>."
        )
    return store


def _made(view: str) -> float:
    try:
        return os.lstat(view).st_mtime
    except OSError:
        return 0.0
