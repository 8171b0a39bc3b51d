"""Tables: what scikit-learn takes as X and y, as variables that Zarr can hold, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import DataError, NotStorable, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

NOTES = "tables"
"""The attribute of a dataset that says, as JSON, how its tables are made again."""

_ROWS = "sample"


def to_dataset(**tables: Any) -> xr.Dataset:
    """Put arrays, data frames and sparse matrices of equally many samples into one dataset.

    Parameters
    ----------
    **tables : array-like, scipy.sparse matrix, pandas.DataFrame or pandas.Series
        By name, such as ``x=frame, y=labels``; one that is None is left out.

    Returns
    -------
    xarray.Dataset
        From which `read` gives each back, of the same kind and dtype.

    Raises
    ------
    NotStorable
        If something can't be stored without pickling it.
    """
    import xarray as xr

    variables: dict[str, Any] = {}
    notes = {}
    for name, table in tables.items():
        if table is not None:
            note = _put(name, table, variables)
            if note:
                notes[name] = note
    return xr.Dataset(variables, attrs={NOTES: json.dumps(notes)} if notes else {})


def read(dataset: xr.Dataset, name: str) -> Any:
    """Give a table of a dataset: one that `to_dataset` put there, or a variable's array.

    Raises
    ------
    DataError
        If there is none of this name.
    """
    notes = json.loads(dataset.attrs.get(NOTES, "{}"))
    if name not in notes and name not in dataset.variables:
        known = [*notes, *(str(variable) for variable in dataset.variables)]
        raise DataError(f"no variable {name!r} in the data." + did_you_mean(name, known))
    return _get(name, notes.get(name, {}), dataset)


def _put(name: str, table: Any, variables: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd
    from scipy import sparse

    if sparse.issparse(table):
        return _put_sparse(name, table, variables)
    if isinstance(table, pd.DataFrame):
        parts = [
            _put(f"{name}_{number}", table.iloc[:, number], variables)
            for number in range(table.shape[1])
        ]
        columns = [column.item() if hasattr(column, "item") else column for column in table]
        if not all(isinstance(column, (str, int, float)) for column in columns):
            raise NotStorable(f"the columns of {name} must be named by texts or numbers.")
        index = _put_index(name, table.index, variables)
        return {"kind": "frame", "columns": columns, "parts": parts, **index}
    if isinstance(table, pd.Series):
        note = _put_series(name, table, variables)
        return {**note, "name": table.name, **_put_index(name, table.index, variables)}
    return _put_array(name, np.asarray(table), variables)


def _put_sparse(name: str, table: Any, variables: dict[str, Any]) -> dict[str, Any]:
    kept = table if table.format in ("csr", "csc") else table.tocsr()
    variables[f"{name}_data"] = (f"{name}_entry", kept.data)
    variables[f"{name}_indices"] = (f"{name}_entry", kept.indices)
    variables[f"{name}_indptr"] = (f"{name}_pointer", kept.indptr)
    made = [type(kept).__name__, list(kept.shape)]
    return {"kind": "sparse", "made": made, "format": table.format}


def _put_index(name: str, index: Any, variables: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    if index.equals(pd.RangeIndex(len(index))):
        return {}
    return {"index": _put(f"{name}_index", pd.Series(index.to_numpy()), variables)}


def _put_series(name: str, table: Any, variables: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    kind = table.dtype
    if isinstance(kind, pd.CategoricalDtype):
        words: dict[str, Any] = {}
        note = _put_array(f"{name}_categories", kind.categories.to_numpy(), words)
        variables[name] = (_ROWS, table.cat.codes.to_numpy())
        variables[f"{name}_categories"] = (f"{name}_category", words[f"{name}_categories"][1])
        return {"kind": "category", "categories": note, "ordered": bool(kind.ordered)}
    if isinstance(kind, np.dtype):
        return {"kind": "series", "array": _put_array(name, table.to_numpy(), variables)}
    values = [
        None if missing else value for value, missing in zip(table, table.isna(), strict=True)
    ]
    array = np.array(values, dtype=object)
    return {"kind": "series", "dtype": str(kind), "array": _put_array(name, array, variables)}


def _put_array(name: str, array: Any, variables: dict[str, Any]) -> dict[str, Any]:
    dims = (_ROWS, *(f"{name}_{number}" for number in range(1, array.ndim)))[: array.ndim]
    note: dict[str, Any] = {}
    if array.dtype.kind in "Mm":
        note = {"kind": "time", "dtype": array.dtype.str}
        array = array.view("i8")
    elif array.dtype.kind == "U":
        note = {"kind": "text", "dtype": array.dtype.str}
        array = array.astype(object)
    elif array.dtype.kind not in "fiubc":
        note = {"kind": "plain"}
        array = np.array([_word(name, item) for item in array.ravel()], dtype=object).reshape(
            array.shape
        )
    elif not array.dtype.isnative:
        note = {"kind": "order", "dtype": array.dtype.str}
        array = array.astype(array.dtype.newbyteorder("="))
    variables[name] = (dims, array)
    return note


def _word(name: str, item: Any) -> str:
    if isinstance(item, np.generic):
        item = item.item()
    if item is None or isinstance(item, (bool, int, float, str)):
        return json.dumps(item)
    raise NotStorable(
        f"an element of {name} as an argument must be a string, a number or None, "
        f"not {type(item).__name__!r}. Turn it into columns first."
    )


def _get(name: str, note: dict[str, Any], dataset: xr.Dataset) -> Any:
    import pandas as pd
    from scipy import sparse

    kind = note.get("kind")
    if kind == "sparse":
        class_name, shape = note["made"]
        parts = tuple(dataset[f"{name}_{part}"].values.copy() for part in _PARTS)
        return getattr(sparse, class_name)(parts, shape=tuple(shape)).asformat(note["format"])
    if kind == "frame":
        columns = {
            number: _get(f"{name}_{number}", part, dataset).reset_index(drop=True)
            for number, part in enumerate(note["parts"])
        }
        frame = pd.DataFrame(columns, index=None if columns else range(dataset.sizes[_ROWS]))
        frame.columns = pd.Index(note["columns"])
        return _indexed(name, frame, note, dataset)
    if kind in ("category", "series"):
        return _indexed(name, _get_series(name, note, dataset), note, dataset)
    values = dataset[name].values
    if kind == "time":
        return values.view(note["dtype"])
    if kind == "plain":
        items = [json.loads(word) for word in values.ravel()]
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(values.shape)
    return values if kind is None else values.astype(note["dtype"])


_PARTS = ("data", "indices", "indptr")


def _get_series(name: str, note: dict[str, Any], dataset: xr.Dataset) -> Any:
    import pandas as pd

    if note["kind"] == "category":
        words = _get(f"{name}_categories", note["categories"], dataset)
        codes = dataset[name].values
        values = pd.Categorical.from_codes(codes, words, ordered=note["ordered"])
        return pd.Series(values, name=note.get("name"))
    array = _get(name, note["array"], dataset)
    return pd.Series(array, name=note.get("name"), dtype=note.get("dtype", array.dtype))


def _indexed(name: str, table: Any, note: dict[str, Any], dataset: xr.Dataset) -> Any:
    if "index" in note:
        table.index = _get(f"{name}_index", note["index"], dataset).to_numpy()
    return table
