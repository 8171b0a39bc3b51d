"""Tables: whatever scikit-learn takes goes through Zarr and comes back the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import dasktune as dt
from dasktune.errors import DataError
from dasktune.sklearn.table import read, to_dataset
from dasktune.writing import write_split

FRAME = pd.DataFrame(
    {
        "age": [31, 45, 27],
        "height": np.array([1.8, np.nan, 1.6], dtype="float32"),
        "smokes": [True, False, True],
        "town": ["Ulm", None, "Köln"],
        "group": pd.Categorical(["a", "b", "a"], categories=["b", "a", "c"], ordered=True),
        "visits": pd.array([1, None, 3], dtype="Int64"),
        "since": pd.to_datetime(["2020-01-01", "2021-05-04", "2022-07-08"]),
        "mixed": pd.Series(["x", 1, None], dtype=object),
        7: [1, 2, 3],
    }
)


def through_zarr(tmp_path, **tables):
    """Write as the preprocess node does, and open as a trial does."""
    write_split(str(tmp_path / "data.zarr"), "train", to_dataset(**tables))
    return dt.Data(str(tmp_path / "data.zarr"), ("train",))["train"]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(3, 2),
        np.arange(3, dtype="int8"),
        np.arange(3, dtype="float16"),
        np.array([1 + 2j, 3j, 0]),
        np.array([True, False, True]),
        np.arange(3, dtype=">f8"),
        np.array(["a", "bcd", "é"]),
        np.array(["a", 1, None, 2.5, True], dtype=object),
        np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
        np.arange(24, dtype="float32").reshape(3, 2, 4),
        np.zeros((0, 3)),
        np.zeros((5, 0)),
    ],
)
def test_arrays_keep_values_shape_and_dtype(tmp_path, array):
    """Texts, objects and times too."""
    again = read(through_zarr(tmp_path, x=array), "x")
    np.testing.assert_array_equal(again, array)
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    if array.dtype == object:
        assert [type(item) for item in again] == [type(item) for item in array]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
def test_sparse_matrices_keep_their_format(tmp_path, kind):
    """Matrices and arrays alike."""
    for made in (sparse.csr_matrix, sparse.csr_array):
        table = made([[0, 1.5, 0], [2, 0, 0]]).asformat(kind)
        again = read(through_zarr(tmp_path, x=table), "x")
        assert type(again) is type(table)
        assert (again.toarray() == table.toarray()).all()


@pytest.mark.parametrize("index", [None, ["p", "q", "r"], [5, 3, 1]])
def test_data_frames_keep_columns_dtypes_and_index(tmp_path, index):
    """Missing values as well."""
    frame = FRAME if index is None else FRAME.set_axis(index)
    dataset = through_zarr(tmp_path, x=frame, y=frame["town"], z=frame["group"])
    pd.testing.assert_frame_equal(read(dataset, "x"), frame, check_index_type=index is not None)
    pd.testing.assert_series_equal(
        read(dataset, "y"), frame["town"], check_index_type=index is not None
    )
    pd.testing.assert_series_equal(
        read(dataset, "z"), frame["group"], check_index_type=index is not None
    )


def test_what_could_only_be_pickled_is_refused():
    """With the rule and the fix."""
    with pytest.raises(DataError, match="must be a string, a number or None, not 'dict'"):
        to_dataset(x=np.array([{}, 1.0], dtype=object))


def test_a_variable_that_is_not_there_is_told(tmp_path):
    """With what was meant."""
    with pytest.raises(DataError, match="Did you mean 'weight'"):
        read(through_zarr(tmp_path, weight=[1, 2]), "wieght")
