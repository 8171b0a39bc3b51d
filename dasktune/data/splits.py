"""Data: the preprocessed splits, as a train function sees them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.data.batches import Batches
from dasktune.data.device import Streamed, resident
from dasktune.data.mapping import Mapped, map_array
from dasktune.data.order import Order, parse_bytes
from dasktune.data.reading import ChunkedRows, FileRows, Rows
from dasktune.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import torch
    import xarray as xr

IN_MEMORY = 2 * 1024**3
"""Bytes up to which what cannot be mapped is read into memory; larger splits stay on disk."""

_SCALING = {"scale_factor", "add_offset", "missing_value", "_Unsigned"}


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
    Arrays are memory-mapped: all workers of a machine share one copy, in the page cache, and
    nothing is read before it is used. What cannot be mapped (texts, dates, stores that others
    wrote with compression) is read into memory if it is smaller than 2 GiB in a split, and from
    the store where it is indexed if it is larger.

    All trials of a worker share the data, so it must not be changed in place: arrays refuse,
    and a tensor that was changed fails the trial that changed it. The files never change.
    """

    def __init__(self, path: str, splits: tuple[str, ...]) -> None:
        self.path = path
        self._splits = splits
        self._arrays: dict[tuple[str, str], Mapped | None] = {}
        self._datasets: dict[str, xr.Dataset] = {}
        self._on_disk: dict[tuple[str, str], int] = {}  # rows of a chunk, of what was not read
        self._tensors: dict[tuple[str, str, str], tuple[torch.Tensor, int]] = {}

    def __getitem__(self, split: str) -> xr.Dataset:
        self._check_split(split)
        if split not in self._datasets:
            self._datasets[split] = self._open(split)
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

    def place(
        self, variables: Sequence[tuple[str, str]], device: str
    ) -> list[torch.Tensor | Streamed]:
        """Bring variables to a device, those for which it has room, once a worker.

        Parameters
        ----------
        variables : sequence of (str, str)
            Splits and variables.
        device : str
            Such as ``"cuda"``.

        Returns
        -------
        list of torch.Tensor or Streamed
            In the order of `variables`. One that does not fit stays in the machine's memory;
            indexing it with a tensor, or splitting it, brings the rows to the device.

        Raises
        ------
        DataError
            If there is no such split or variable.
        """
        if device == "cpu":
            return [self.tensor(split, name) for split, name in variables]
        import torch

        there = [(split, name, device) in self._tensors for split, name in variables]
        hosts = [self.tensor(split, name) for split, name in variables]
        sizes = [0 if here else host.nbytes for here, host in zip(there, hosts, strict=True)]
        free, _ = torch.cuda.mem_get_info(device)
        return [
            self.tensor(split, name, device=device) if fits else Streamed(host, device)
            for (split, name), host, fits in zip(
                variables, hosts, resident(sizes, free), strict=True
            )
        ]

    def _from_numpy(self, split: str, name: str) -> torch.Tensor:
        import torch

        values = self.array(split, name)
        with warnings.catch_warnings():
            # torch says that the array is read-only; `check_unchanged` watches over that.
            warnings.simplefilter("ignore")
            try:
                return torch.from_numpy(values)
            except TypeError as error:
                raise DataError(f"{split}/{name} cannot be a tensor: {error}") from error

    def array(self, split: str, name: str) -> np.ndarray[Any, Any]:
        """Give a variable of a split as a read-only array, without a copy where it is mapped.

        Parameters
        ----------
        split, name : str
            The split and its variable.

        Raises
        ------
        DataError
            If there is no such split or variable.
        """
        self._check_split(split)
        mapped = self._mapped(split, name)
        if mapped is not None and mapped.as_stored:
            return mapped.values  # without xarray, whose import alone takes half a second
        values: np.ndarray[Any, Any] = self._variable(split, name).values
        return values

    def _variable(self, split: str, name: str) -> xr.Variable:
        dataset = self[split]
        if name not in dataset.variables:
            known = [str(variable) for variable in dataset.variables]
            raise DataError(
                f"no variable {name!r} in the split {split!r}." + did_you_mean(name, known)
            )
        return dataset[name].variable

    def batches(
        self,
        split: str,
        names: Sequence[str],
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        buffer: int | str = "1 GiB",
        device: str = "cpu",
    ) -> Batches:
        """Give the batches of one epoch, of data of any size.

        A split that is larger than `buffer` is read in windows: blocks of 1 MiB are shuffled
        over the whole split, and as many as fit are read at a time and their rows shuffled,
        while the window before is given out. A smaller split is shuffled as a whole.

        Parameters
        ----------
        split : str
            The split.
        names : sequence of str
            The variables, such as ``("x", "y")``; their first dimension counts samples.
        batch_size : int
            Samples of a batch; the last one may be smaller.
        seed, epoch : int
            What the order of samples is a function of, for one size of batches and buffer: a
            trial that goes on from a checkpoint sees what it would have seen.
        shuffle : bool, default True
            Whether to shuffle; give False for validation.
        drop_last : bool, default False
            Whether to leave out the last batch if it is smaller.
        buffer : int or str, default "1 GiB"
            Bytes of samples that may be in memory; the more, the better they are shuffled.
        device : str, default "cpu"
            Where the batches are to be. Those for a GPU are pinned, and copied one ahead.

        Returns
        -------
        Batches
            An iterable of tuples of `torch.Tensor`, in the order of `names`; it has a length.

        Raises
        ------
        DataError
            If there is no such split or variable, lengths differ, or the buffer is too small.
        """
        names = (names,) if isinstance(names, str) else tuple(names)
        if not names:
            raise DataError("a batch must have at least one variable, but names is empty.")
        numbers = (("batch_size", batch_size, 1), ("seed", seed, 0), ("epoch", epoch, 0))
        for word, number, least in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise DataError(f"{word} must be an int of at least {least}, but got {number!r}.")
        room = parse_bytes(buffer)
        sources = [self._rows(split, name) for name in names]
        lengths = {source.shape[0] if source.shape else 0 for source in sources}
        if len(lengths) != 1:
            told = ", ".join(f"{n}: {s.shape}" for n, s in zip(names, sources, strict=True))
            raise DataError(f"variables of a batch must have equal lengths, but have {told}.")
        (rows,) = lengths
        row = sum(math.prod(s.shape[1:]) * s.dtype.itemsize for s in sources)
        whole: list[np.ndarray[Any, Any]] = []
        if rows * row <= room:
            order = Order(rows, max(1, rows), 1)
            whole = [self.array(split, name) for name in names]
        else:
            chunk = max(self._on_disk.get((split, name), 0) for name in names)
            order = Order.of(rows, row, batch_size=batch_size, buffer=room, chunk=chunk)
        return Batches(
            sources,
            whole,
            order,
            batch_size,
            seed=seed,
            epoch=epoch,
            shuffle=shuffle,
            drop_last=drop_last,
            device=device,
        )

    def _rows(self, split: str, name: str) -> Rows:
        self._check_split(split)
        mapped = self._mapped(split, name)
        if mapped is not None and mapped.as_stored:
            values = mapped.values
        else:
            variable = self._variable(split, name)
            values = self._same(split, name, variable)
            if mapped is None or values is None:
                return ChunkedRows(variable)
        return FileRows(mapped.path, mapped.start, values.shape, values.dtype)

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
            self._arrays.clear()  # the next mapping shows the file again, which did not change
            split, name, _ = changed[0]
            raise DataError(
                f"train() changed data.tensor({split!r}, {name!r}) in place, which all trials "
                "of a worker share. Work on a copy: data.tensor(…).clone()."
            )

    def _check_split(self, split: str) -> None:
        if split not in self._splits:
            raise DataError(
                f"no split {split!r} in the preprocessed data." + did_you_mean(split, self._splits)
            )

    def _mapped(self, split: str, name: str) -> Mapped | None:
        if (split, name) not in self._arrays:
            self._arrays[split, name] = map_array(f"{self.path}/{split}/{name}")
        return self._arrays[split, name]

    def _open(self, split: str) -> xr.Dataset:
        import xarray as xr

        dataset: xr.Dataset = xr.open_zarr(self.path, group=split, chunks=None, consolidated=False)
        found = {
            name: None
            if isinstance(variable, xr.IndexVariable)
            else self._same(split, str(name), variable)
            for name, variable in dataset.variables.items()
        }
        rest = [name for name, values in found.items() if values is None]
        if sum(dataset.variables[name].nbytes for name in rest) <= IN_MEMORY:
            for name in rest:
                values = dataset.variables[name].load().values
                if isinstance(values, np.ndarray) and name not in dataset.indexes:
                    values.flags.writeable = False
        else:
            for name in rest:
                chunks = dataset.variables[name].encoding.get("chunks") or (1,)
                self._on_disk[split, str(name)] = chunks[0]
        mapped = {
            name: xr.Variable(variable.dims, found[name], variable.attrs, variable.encoding)
            for name, variable in dataset.variables.items()
            if found[name] is not None
        }
        coords = {name: variable for name, variable in mapped.items() if name in dataset.coords}
        rows = {name: variable for name, variable in mapped.items() if name not in coords}
        return dataset.assign(rows).assign_coords(coords)

    def _same(self, split: str, variable_name: str, variable: Any) -> Any:
        """Give a variable's mapped array, if it holds just what xarray reads; None otherwise."""
        mapped = self._mapped(split, variable_name)
        if mapped is None:
            return None
        if variable.dtype == bool and mapped.values.dtype == "int8":
            return mapped.values.view(bool)
        fill = variable.encoding.get("_FillValue")
        scaled = _SCALING & (variable.encoding.keys() | variable.attrs.keys())
        same = variable.dtype == mapped.values.dtype and not scaled
        return mapped.values if same and (fill is None or fill != fill) else None

    def __repr__(self) -> str:
        return f"<Data: {', '.join(self._splits)}>"
