"""Data: the preprocessed splits, as a train function sees them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dasktune.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import torch
    import xarray as xr

IN_MEMORY = 2 * 1024**3
"""Bytes up to which a split is read into memory, once a worker; larger ones stay on disk."""


class Data(Mapping[str, "xr.Dataset"]):
    """The preprocessed splits: a read-only mapping of split names to datasets.

    Parameters
    ----------
    path : str
        The Zarr store, with one group a split.
    splits : sequence of str
        The names of the splits.

    Notes
    -----
    A split is opened when it is first asked for, and read into memory if it is smaller than
    2 GiB; larger ones are read from the store where they are indexed. All trials of a worker
    share what was read, so it must not be changed in place: arrays refuse, and a tensor that
    was changed fails the trial that changed it.
    """

    def __init__(self, path: str, splits: tuple[str, ...]) -> None:
        self.path = path
        self._splits = splits
        self._datasets: dict[str, xr.Dataset] = {}
        self._tensors: dict[tuple[str, str, str], tuple[torch.Tensor, int]] = {}

    def __getitem__(self, split: str) -> xr.Dataset:
        if split not in self._splits:
            raise DataError(
                f"no split {split!r} in the preprocessed data." + did_you_mean(split, self._splits)
            )
        if split not in self._datasets:
            self._datasets[split] = _open(self.path, split)
        return self._datasets[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def tensor(self, split: str, name: str, *, device: str = "cpu") -> torch.Tensor:
        """Give a variable of a split as a torch tensor; on the CPU without a copy.

        Parameters
        ----------
        split, name : str
            The split and its variable.
        device : str, default "cpu"
            Where it is to be. It is brought there once a worker.

        Returns
        -------
        torch.Tensor
            Of the variable's shape and dtype; shared by all trials of the worker.

        Raises
        ------
        DataError
            If there is no such split or variable, or its dtype is none that torch knows.
        """
        if (split, name, device) not in self._tensors:
            if device == "cpu":
                tensor = self._from_numpy(split, name)
            else:
                tensor = self.tensor(split, name).to(device)
            self._tensors[split, name, device] = (tensor, tensor._version)
        return self._tensors[split, name, device][0]

    def _from_numpy(self, split: str, name: str) -> torch.Tensor:
        import torch

        dataset = self[split]
        if name not in dataset.variables:
            known = [str(variable) for variable in dataset.variables]
            raise DataError(
                f"no variable {name!r} in the split {split!r}." + did_you_mean(name, known)
            )
        with warnings.catch_warnings():
            # torch says that the array is read-only; `check_unchanged` watches over that.
            warnings.simplefilter("ignore")
            try:
                return torch.from_numpy(dataset[name].values)
            except TypeError as error:
                raise DataError(f"{split}/{name} cannot be a tensor: {error}") from error

    def check_unchanged(self) -> None:
        """Refuse tensors that were changed in place, and forget them.

        Raises
        ------
        DataError
            If one was, since all trials of the worker share it.
        """
        changed = [where for where, (t, version) in self._tensors.items() if t._version != version]
        if changed:
            self._tensors.clear()
            self._datasets.clear()
            split, name, _ = changed[0]
            raise DataError(
                f"train() changed data.tensor({split!r}, {name!r}) in place, which all trials "
                "of a worker share. Work on a copy: data.tensor(…).clone()."
            )

    def __repr__(self) -> str:
        return f"<Data: {', '.join(self._splits)}>"


def _open(path: str, split: str) -> xr.Dataset:
    import xarray as xr

    dataset: xr.Dataset = xr.open_zarr(path, group=split, chunks=None, consolidated=False)
    if dataset.nbytes <= IN_MEMORY:
        dataset = dataset.load()
        for variable in dataset.variables.values():
            values: Any = variable.values
            if hasattr(values, "flags") and not isinstance(variable, xr.IndexVariable):
                values.flags.writeable = False
    return dataset


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
