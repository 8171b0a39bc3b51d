"""Statistics: how sure one can be of a mean over replicates, and of a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.results import config_numbers, config_of, hyperparameters, objective_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LEVEL = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, by Student's t.

    Attributes
    ----------
    mean : float
        Of the values that there are.
    low, high : float
        Bounds of the 95 % interval; NaN for fewer than two values.
    n : int
        Number of values.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not np.isfinite(self.low):
            return f"{self.mean:.5g}"
        return f"{self.mean:.5g} ({LEVEL:.0%} interval {self.low:.5g} to {self.high:.5g})"


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences.

    Attributes
    ----------
    interval : Interval
        Of the differences.
    p : float
        Two-sided p-value of the paired t-test; NaN for fewer than two pairs.
    """

    interval: Interval
    p: float

    @property
    def told(self) -> bool:
        """Whether the difference is told from zero: the interval leaves it out."""
        return self.interval.low > 0 or self.interval.high < 0


def interval(values: Any) -> Interval:
    """Give the mean of some values, with its interval.

    Parameters
    ----------
    values : array-like of float
        NaN and infinite ones are left out.
    """
    from scipy.special import stdtrit

    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    mean = float(finite.mean()) if n else float("nan")
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2) * finite.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def paired(first: Any, second: Any) -> Difference:
    """Compare two rows of values that belong together pair by pair: first minus second."""
    from scipy.special import stdtr

    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    mean = interval(differences)
    differences = differences[np.isfinite(differences)]
    if mean.n < 2:
        return Difference(mean, float("nan"))
    spread = differences.std(ddof=1)
    if spread == 0:
        return Difference(mean, 1.0 if mean.mean == 0 else 0.0)
    t = mean.mean / (spread / np.sqrt(mean.n))
    return Difference(mean, float(2 * stdtr(mean.n - 1, -abs(t))))


@dataclass(frozen=True)
class Verdict:
    """The best configuration, and how sure one can be that it is the best.

    Attributes
    ----------
    config : dict
        Its hyperparameters.
    interval : Interval
        Its mean over the replicates.
    missing : int
        Its replicates that have no value.
    configs : int
        Configurations that have a value.
    runner_up : dict or None
        The second-best configuration, of the hyperparameters that vary.
    difference : Difference or None
        Best minus runner-up, paired over the replicates that both have.
    alike : int
        Configurations that cannot be told from the best, each compared by itself.
    replicate : str
        The name of the replicate's axis, ``""`` without one.
    """

    config: dict[str, Any]
    interval: Interval
    missing: int
    configs: int
    runner_up: dict[str, Any] | None
    difference: Difference | None
    alike: int
    replicate: str

    @property
    def notes(self) -> list[str]:
        """What a reader must know before trusting the best, in sentences."""
        words = []
        if self.missing:
            have = f"{self.interval.n} of {self.interval.n + self.missing}"
            words.append(f"only {have} of its replicates have a value")
        if self.configs < 2 or self.runner_up is None or self.difference is None:
            return words
        other = ", ".join(f"{name}={short(value)}" for name, value in self.runner_up.items())
        between = self.difference.interval
        if not self.replicate:
            words.append(
                f"without replicates nobody can tell it apart from the runner-up ({other}); "
                "add seed=replicates(3) to the space"
            )
        elif between.n < 2:
            words.append(f"too few replicates to tell it apart from the runner-up ({other})")
        elif not self.difference.told:
            words.append(
                f"the runner-up ({other}) cannot be told apart from it: difference "
                f"{between.mean:.2g}, "
                f"{LEVEL:.0%} interval {between.low:.2g} to {between.high:.2g}, paired over "
                f"{between.n} values of {self.replicate}"
            )
        if self.alike > 1 and self.replicate:
            words.append(f"{self.alike} of {self.configs - 1} others cannot be told apart from it")
        return words


def verdict(dataset: xr.Dataset) -> Verdict | None:
    """Find the best configuration and say how sure that is, or give None without any value.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    """
    values, rows = replicate_matrix(dataset)
    finite = np.isfinite(values)
    known = finite.any(axis=1)
    if not known.any():
        return None
    sign = 1 if objective_of(dataset).direction == "max" else -1
    counts = finite.sum(axis=1)
    means = np.where(finite, values, 0).sum(axis=1) / np.maximum(counts, 1)
    ranked = np.argsort(np.where(known, -sign * means, np.inf), kind="stable")[: known.sum()]
    first = int(ranked[0])
    missing = int((rows[first] >= 0).sum() - counts[first])
    names = list(dataset.attrs.get("replicate", []))
    second = int(ranked[1]) if len(ranked) > 1 else None
    several = varied(dataset)

    def config_at(config: int) -> dict[str, Any]:
        trials = rows[config][rows[config] >= 0]
        return config_of(dataset, int(trials[0]), replicate=False)

    return Verdict(
        config_at(first),
        interval(values[first]),
        missing,
        int(known.sum()),
        None if second is None else {k: v for k, v in config_at(second).items() if k in several},
        None if second is None else paired(values[first], values[second]),
        _alike(values, ranked),
        names[0] if names else "",
    )


def replicate_matrix(dataset: xr.Dataset) -> tuple[Any, Any]:
    """Lay the objective out by configuration and replicate.

    Returns
    -------
    (array, array)
        Values (config, replicate), NaN where there is none; and the trial's row in the
        dataset, -1 where there is none.
    """
    configs = config_numbers(dataset)
    axes = [dataset[name].values for name in dataset.attrs.get("replicate", [])]
    copies, count = np.zeros(len(configs), dtype=int), 1
    if axes and len(configs):
        found, copies = np.unique(np.stack(axes), axis=1, return_inverse=True)
        copies, count = copies.reshape(-1), found.shape[1]
    shape = (int(configs.max()) + 1 if len(configs) else 0, count)
    values, rows = np.full(shape, np.nan), np.full(shape, -1)
    values[configs, copies] = dataset["objective"].values
    rows[configs, copies] = np.arange(len(configs))
    return values, rows


def _alike(values: Any, ranked: Any) -> int:
    """Count the configurations whose paired difference to the best may be zero."""
    from scipy.special import stdtrit

    if len(ranked) < 2:
        return 0
    with np.errstate(invalid="ignore"):
        differences = values[ranked[0]] - values[ranked[1:]]
    finite = np.isfinite(differences)
    n = finite.sum(axis=1)
    differences = np.where(finite, differences, 0)
    mean = differences.sum(axis=1) / np.maximum(n, 1)
    squares = (np.where(finite, differences - mean[:, None], 0) ** 2).sum(axis=1)
    spread = np.sqrt(squares / np.maximum(n - 1, 1))
    half = stdtrit(np.maximum(n - 1, 1), (1 + LEVEL) / 2) * spread / np.sqrt(np.maximum(n, 1))
    return int(((n < 2) | (abs(mean) <= half)).sum())


def short(value: Any) -> str:
    """Write a value for people."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def robust_limits(values: Any, dataset: xr.Dataset) -> tuple[float, float] | None:
    """Give limits that the worst values do not dictate, or None where all fit.

    A single diverged trial must not press all others into a line. The best is always inside.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < 4:
        return None
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
    reach = 4 * max(high - low, 1e-12 * max(abs(middle), 1))
    upwards = objective_of(dataset).direction == "max"
    bottom, top = float(finite.min()), float(finite.max())
    if upwards and bottom < low - reach:
        bottom = float(low - reach)
    elif not upwards and top > high + reach:
        top = float(high + reach)
    else:
        return None
    margin = 0.05 * (top - bottom)
    return bottom - margin, top + margin


def for_people(dataset: xr.Dataset, board: pd.DataFrame) -> pd.DataFrame:
    """Keep the columns of a leaderboard that say something, in a form to be read.

    Hyperparameters that have one value are left out, and the spread where nothing is repeated.
    """
    others = [name for name in board.columns if str(name).startswith("mean ")]
    summary = ["front", "mean", *others, "sd", "low", "high", "n", "rank", "failed", "seconds"]
    summary = [name for name in summary if name in board.columns]
    dropped = set() if board["failed"].any() else {"failed"}
    if objective_of(dataset).metric == "seconds":
        dropped.add("seconds")  # the mean has this name then
    if board["n"].max() <= 1:
        dropped |= {"sd", "low", "high", "n"}
    constant = set(hyperparameters(dataset)) - set(varied(dataset))
    names = [n for n in board.columns if n not in constant and n not in (*summary, "min", "max")]
    frame = board[names + [name for name in summary if name not in dropped]].copy()
    if "low" in frame.columns:
        bounds = zip(frame.pop("low"), frame.pop("high"), strict=True)
        texts = ["" if low != low else f"{low:.4g} to {high:.4g}" for low, high in bounds]
        frame.insert(frame.columns.get_loc("sd") + 1, f"{LEVEL:.0%} interval", texts)
    for name in ("sd", "seconds", "rank"):
        if name in frame.columns:
            frame[name] = [float(f"{value:.3g}") for value in frame[name]]
    return frame.rename(columns={"mean": objective_of(dataset).metric})


def varied(dataset: xr.Dataset) -> list[str]:
    """List the hyperparameters that have more than one value, without the replicate."""
    return [
        name
        for name in hyperparameters(dataset)
        if dataset[name].to_series().nunique(dropna=False) > 1
    ]
