"""Comparison: two runs, or two versions of the code, trial by trial."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import StoreError, UsageError
from dasktune.reading.statistics import Difference, paired
from dasktune.reading.versions import by_version
from dasktune.results import objective_of, open_results

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class Comparison:
    """What changed from one set of results to another.

    Attributes
    ----------
    metric, direction : str
        The objective.
    table : pandas.DataFrame
        A row a trial that both have: hyperparameters, ``first``, ``second``, ``difference``.
    difference : Difference
        Second minus first, paired over these trials.
    better, worse, equal : int
        Trials in which the second is better, worse, or the same.
    only_first, only_second : int
        Trials that only one of them has.
    dataset : xarray.Dataset
        Both along the dimension ``version``; see `dasktune.reading.versions.by_version`.
    """

    metric: str
    direction: str
    table: pd.DataFrame = field(repr=False)
    difference: Difference
    better: int
    worse: int
    equal: int
    only_first: int
    only_second: int
    dataset: xr.Dataset = field(repr=False)

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        between = self.difference.interval
        if between.n == 0:
            return "no trial has a value in both, so that there is nothing to compare"
        if self.equal == between.n:
            return f"all {between.n} trials have the same {self.metric} in both"
        change = f"{self.metric} changes by {between.mean:+.3g}"
        if between.n < 2:
            return f"{change} in the one trial that both have"
        change += f" (95% interval {between.low:+.3g} to {between.high:+.3g}, {between.n} pairs)"
        counts = f"better in {self.better}, worse in {self.worse}, equal in {self.equal}"
        if not self.difference.told:
            return f"{change}: no difference can be told; {counts}"
        up = (between.mean > 0) == (self.direction == "max")
        return f"{change}: the second is {'better' if up else 'worse'}; {counts}"


def compare(first: xr.Dataset, second: xr.Dataset) -> Comparison:
    """Compare two sets of results by the first one's objective, trial by trial.

    Trials are the same if they have the same hyperparameters and replicate.

    Parameters
    ----------
    first, second : xarray.Dataset
        Collated datasets.

    Raises
    ------
    UsageError
        If the second has no such metric.
    """
    import pandas as pd

    from dasktune.reading.selection import with_objective

    objective = objective_of(first)
    if second.attrs["objective"] != str(objective):
        second = with_objective(second, str(objective))
    names = list(first.attrs["hyperparameters"])
    dataset = by_version({"first": first, "second": second})
    there = dataset["status"].values != "absent"
    both = there.all(axis=0)
    shared = dataset.isel(trial=np.flatnonzero(both))
    values = shared["objective"].values
    columns = {name: shared[name].values for name in names}
    table = pd.DataFrame({**columns, "first": values[0], "second": values[1]})
    table["difference"] = table["second"] - table["first"]
    values = table["difference"].to_numpy()
    sign = 1 if objective.direction == "max" else -1
    ranked = table.sort_values("difference", ascending=sign < 0, na_position="last")
    return Comparison(
        objective.metric,
        objective.direction,
        ranked[[*names, "first", "second", "difference"]].reset_index(drop=True),
        paired(table["second"], table["first"]),
        int((sign * values > 0).sum()),
        int((sign * values < 0).sum()),
        int((values == 0).sum()),
        int((there[0] & ~there[1]).sum()),
        int((there[1] & ~there[0]).sum()),
        dataset,
    )


def open_versions(store: Any, names: Sequence[str]) -> xr.Dataset:
    """Lay results of a store out along the dimension ``version``.

    Parameters
    ----------
    store : Store
        Where versions are looked up.
    names : sequence of str
        Versions, collations or paths, as of `find_results`; all versions that the store has
        results of, the oldest first, if none is named.
    """
    chosen = list(names) or versions_table(store)["version"].tolist()[::-1]
    return by_version({name: find_results(name, store) for name in chosen})


def versions_table(store: Any) -> pd.DataFrame:
    """List the versions of which a store holds results: of the code, its variables, the data.

    Returns
    -------
    pandas.DataFrame
        The youngest first: ``version``, ``code`` and ``data`` (how their digests begin),
        ``variables`` (those in which versions differ), ``trials``,
        ``mean`` (of the objective), ``first`` and ``last`` (when trials ended).
    """
    import pandas as pd

    from dasktune.reading.ended import Versions, by_trial, read_stamps

    stamps, _ = read_stamps(store)
    versions = Versions(stamp.body for stamp in stamps)
    groups: dict[str, list[Any]] = {}
    for stamp in stamps:
        groups.setdefault(versions.name(stamp.body), []).append(stamp)
    everything = [found[-1].body["variables"] for found in groups.values()]
    differing = [
        name
        for name in dict.fromkeys(name for variables in everything for name in variables)
        if len({str(variables.get(name)) for variables in everything}) > 1
    ]
    rows = []
    for name, found in groups.items():
        body = found[-1].body
        trials = by_trial(found, versions.searched(name)).values()
        values = [float(of_trial[-1].body["result"]["value"]) for of_trial in trials]
        finite = [value for value in values if np.isfinite(value)]
        ends = [
            pd.Timestamp(s.body["finished"], unit="s").round("s") for s in (found[0], found[-1])
        ]
        rows.append(
            {
                "version": name,
                "code": str(body["parts"]["code"])[:8],
                "data": str(body["parts"]["data"])[:8],
                "variables": ", ".join(
                    f"{k}={body['variables'].get(k)}"
                    for k in differing
                    if k != versions.searched(name)
                ),
                "trials": len(trials),
                "mean": float(np.mean(finite)) if finite else float("nan"),
                "first": ends[0],
                "last": ends[1],
            }
        )
    frame = pd.DataFrame(rows)
    return frame.iloc[::-1].reset_index(drop=True)


def find_results(name: str, store: Any) -> xr.Dataset:
    """Find results to compare with: by path, or by the code version or collation of a store.

    Parameters
    ----------
    name : str
        A path; or how a version's name, the digest of its code, or a collation's key begins.
    store : Store or None
        Where versions are looked up.

    Raises
    ------
    UsageError
        If there is nothing of that name.
    """
    from dasktune.reading.opening import read
    from dasktune.reading.partial import read_partial

    if os.path.exists(name):
        return read(name)
    if store is not None and len(name) >= 4:
        keys = [k for found in store.listing("collated").values() for k in found]
        fitting = [key for key in keys if key.startswith(name)]
        if len(fitting) == 1:
            return open_results(f"{store.collated(fitting[0])}/results.zarr")
        try:
            return read_partial(store, name)
        except StoreError:
            pass
    raise UsageError(
        f"no results {name!r}: it is no path, and neither a version of the code nor a collation "
        "begins so. 'dasktune results --versions' lists the versions."
    )
