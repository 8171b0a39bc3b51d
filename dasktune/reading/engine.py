"""The engine: what `xarray.open_dataset` opens a sweep's folder with, be it collated or not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from dasktune.reading import accessor  # noqa: F401  # registers ``.dasktune``
from dasktune.reading.opening import read


class Engine(BackendEntrypoint):
    """What `xarray.open_dataset` opens a sweep's folder with, be it collated or not.

    xarray finds it by its entry point; datasets then have their accessor ``.dasktune``, also
    where nobody imported dasktune.
    """

    description: ClassVar[str] = "Open the results of a sweep: dist/<pipeline>"

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None
    ) -> xr.Dataset:
        """Read the newest results of a sweep, as `dasktune.open` does.

        Parameters
        ----------
        filename_or_obj : path
            The folder ``dist/<pipeline>``.
        drop_variables : str or iterable of str, optional
            Names of variables that are left out.

        Returns
        -------
        xarray.Dataset
        """
        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or []
        return read(filename_or_obj).drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether it is a folder with trials of a sweep."""
        return isinstance(filename_or_obj, str | os.PathLike) and os.path.isdir(
            os.path.join(filename_or_obj, "trained")
        )
