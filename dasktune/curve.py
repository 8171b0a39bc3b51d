"""Curves: the metrics of a trial, one row an epoch."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard
from unicodedata import normalize

import numpy as np

from dasktune.errors import MetricError

if TYPE_CHECKING:
    import xarray as xr

RESERVED = (
    *("trial", "epoch", "objective", "status", "error", "seconds", "finished"),
    *("worker", "device", "key", "failure", "training_seconds"),
)
"""Names that the dataset uses itself."""


class Curve:
    """Rows of named metrics.

    Attributes
    ----------
    rows : list of dict
        A row's metrics by name: floats, or `xarray.DataArray` of floats.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float | xr.DataArray]] = []

    def put(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Add metrics to a row, and the row if it is not there.

        Raises
        ------
        MetricError
            If a name cannot be used, or a value is not a number.
        """
        checked = {}
        for name, value in metrics.items():
            # As Python writes the names of keywords, and an objective its metric's.
            name = name if name.isascii() else normalize("NFKC", name)
            checked[name] = _metric(name, value)
        while len(self.rows) <= epoch:
            self.rows.append({})
        self.rows[epoch].update(checked)

    def names(self) -> list[str]:
        """List the metrics in the order of their first report."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def last(self, name: str) -> float | None:
        """Give the last reported value of a metric that is a plain number."""
        for row in reversed(self.rows):
            value = row.get(name)
            if isinstance(value, float):
                return value
        return None

    def to_json(self) -> dict[str, Any]:
        """Give a JSON-able form: a column a metric, ``null`` where it was not reported."""
        columns: dict[str, list[Any]] = {}
        dims: dict[str, list[str]] = {}
        for name in self.names():
            column = [row.get(name) for row in self.rows]
            for value in column:
                if _is_array(value):
                    dims[name] = [str(dim) for dim in value.dims]
            columns[name] = [_to_json(value) for value in column]
        return {"epochs": len(self.rows), "columns": columns, "dims": dims}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Curve:
        """Read what `to_json` gave."""
        curve = cls()
        curve.rows = [{} for _ in range(tree["epochs"])]
        for name, column in tree["columns"].items():
            dims = tree["dims"].get(name)
            for row, value in zip(curve.rows, column, strict=True):
                if value is not None:
                    numbers = numbers_of(value)
                    row[name] = _array(numbers, dims) if dims else float(numbers)
        return curve


def thin(tree: dict[str, Any], points: int) -> dict[str, tuple[list[int], list[float]]]:
    """Thin out a curve's JSON form for a look: of each plain metric, some epochs and values.

    Parameters
    ----------
    tree : dict
        What `Curve.to_json` gave.
    points : int
        Most points a metric; the last epoch is among them.
    """
    thinned = {}
    for name, column in tree["columns"].items():
        if name in tree["dims"]:
            continue
        known = [(epoch, float(v)) for epoch, v in enumerate(column) if v is not None]
        stride = -(-len(known) // points) or 1
        some = known[::-1][::stride][::-1]
        thinned[name] = ([epoch for epoch, _ in some], [value for _, value in some])
    return thinned


def numbers_of(tree: Any) -> Any:
    """Read a column, or a value, of a curve's JSON form as an array of float64."""
    if isinstance(tree, list):
        return np.array([numbers_of(item) for item in tree], dtype=np.float64)
    return np.float64(math.nan if tree is None else tree)


def _is_array(value: Any) -> TypeGuard[xr.DataArray]:
    """Tell an array of xarray's, without importing it: who holds one has done so."""
    # Another thread may be in the midst of importing it.
    kind = getattr(sys.modules.get("xarray"), "DataArray", None)
    return kind is not None and isinstance(value, kind)


def _array(numbers: Any, dims: list[str]) -> xr.DataArray:
    import xarray as xr

    return xr.DataArray(numbers, dims=dims)


def _to_json(value: Any) -> Any:
    if value is None:
        return None
    if _is_array(value):
        return _to_json(value.values.tolist())
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    # JSON has no NaN and no infinity; Python's float() reads these words back.
    return value if math.isfinite(value) else str(value)


def _metric(name: str, value: Any) -> float | xr.DataArray:
    if not name.isidentifier() or name in RESERVED:
        raise MetricError(
            f"a metric's name must be an identifier other than {', '.join(RESERVED)}, "
            f"but got {name!r}."
        )
    if _is_array(value) and value.ndim:
        if value.dtype.kind not in "fiub" or set(value.dims) & {"trial", "epoch"}:
            raise MetricError(
                f"the metric {name!r} must hold numbers, along other dimensions than trial and "
                f"epoch, but got {value.dtype} along {value.dims}."
            )
        return type(value)(value.values.astype(np.float64), dims=value.dims)
    detached = value.detach() if hasattr(value, "detach") else value
    shape = getattr(detached, "shape", ())
    if not isinstance(detached, (str, bytes)) and math.prod(shape) == 1:
        try:
            return float(detached)
        except (TypeError, ValueError):
            pass
    raise MetricError(
        f"the metric {name!r} must be a number, but got {value!r} "
        f"({type(value).__name__}). Report float({name}), or an xarray.DataArray with named "
        "dimensions."
    )
