"""A paired test: two configurations against each other, over their replicates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.domain import literal
from dasktune.errors import UsageError, did_you_mean
from dasktune.ranking import by_first
from dasktune.reading.statistics import Difference, paired, replicate_matrix, short, varied
from dasktune.results import config_numbers, config_of, hyperparameters, objective_of

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Paired:
    """What a paired test tells of two configurations.

    Attributes
    ----------
    metric, direction : str
        The objective.
    first, second : dict
        The configurations, of the hyperparameters that vary.
    difference : Difference
        First minus second, paired over the replicates that both have: its mean, the 95 %
        interval of that, and the p-value of the paired t-test.
    wilcoxon : float
        The p-value of Wilcoxon's signed-rank test; NaN for fewer than two pairs.
    replicate : str
        The name of the replicate's axis.
    """

    metric: str
    direction: str
    first: dict[str, Any]
    second: dict[str, Any]
    difference: Difference
    wilcoxon: float
    replicate: str

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        between = self.difference.interval
        names = [
            ", ".join(f"{name}={short(value)}" for name, value in config.items())
            for config in (self.first, self.second)
        ]
        against = f"({names[0]}) against ({names[1]})"
        if between.n < 2:
            return (
                f"{against}: {between.n} pairs are too few for a test; add seeds, as in "
                "seed=replicates(5)"
            )
        told = "no difference can be told"
        if self.difference.told:
            better = (between.mean > 0) == (self.direction == "max")
            told = f"the {'first' if better else 'second'} is better"
        return (
            f"{against}: {self.metric} {between.mean:+.3g} (95% interval {between.low:+.3g} to "
            f"{between.high:+.3g}, {between.n} pairs of {self.replicate}): {told}; p = "
            f"{self.difference.p:.2g} by the paired t-test, {self.wilcoxon:.2g} by Wilcoxon's"
        )


def compare_configs(
    dataset: xr.Dataset, first: str | Mapping[str, Any], second: str | Mapping[str, Any]
) -> Paired:
    """Test two configurations of a dataset against each other.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset; of several objectives the first counts.
    first, second : str or mapping
        Enough of their hyperparameters to tell them: ``"lr=0.1,hidden=64"``, or a mapping.

    Raises
    ------
    UsageError
        If one names no configuration or several, or both the same.
    """
    from scipy import stats

    dataset = by_first(dataset)
    values, _ = replicate_matrix(dataset)
    numbers = config_numbers(dataset)
    chosen = [_find(dataset, numbers, wanted) for wanted in (first, second)]
    if chosen[0] == chosen[1]:
        raise UsageError("both name the same configuration. Name two that differ.")
    several = varied(dataset)
    configs = []
    for number in chosen:
        config = config_of(dataset, int(np.flatnonzero(numbers == number)[0]), replicate=False)
        configs.append({name: value for name, value in config.items() if name in several})
    one, two = values[chosen[0]], values[chosen[1]]
    both = np.isfinite(one) & np.isfinite(two)
    differences = (one - two)[both]
    p = float("nan")
    if len(differences) > 1:
        p = 1.0
        if differences.any():
            p = float(stats.wilcoxon(differences, zero_method="zsplit").pvalue)
    objective = objective_of(dataset)
    axes = list(dataset.attrs.get("replicate", []))
    return Paired(
        objective.metric,
        objective.direction,
        configs[0],
        configs[1],
        paired(one, two),
        p,
        " and ".join(axes) or "trials",
    )


def _find(dataset: xr.Dataset, numbers: Any, wanted: str | Mapping[str, Any]) -> int:
    known = hyperparameters(dataset)
    if isinstance(wanted, str):
        words = [word.partition("=") for word in re.split(r",(?![^(\[]*[)\]])", wanted)]
        if not all(equals and name.strip() for name, equals, _ in words):
            raise UsageError(
                f"a configuration is named as in 'lr=0.1,hidden=64', but got {wanted!r}."
            )
        wanted = {name.strip(): literal(text) for name, _, text in words}
    mask = np.ones(len(numbers), dtype=bool)
    for name, value in wanted.items():
        if name not in known:
            raise UsageError(
                f"no hyperparameter {name!r} in the results." + did_you_mean(name, known)
            )
        column = dataset[name].values
        if column.dtype.kind in "fiu" and isinstance(value, (int, float)):
            mask &= np.isclose(column.astype(float), float(value), rtol=1e-5, atol=0)
        else:
            mask &= column.astype(str) == str(value)
    found = np.unique(numbers[mask])
    words_of = ", ".join(f"{name}={value}" for name, value in wanted.items())
    if len(found) != 1:
        how = "no configuration has" if not len(found) else f"{len(found)} configurations have"
        raise UsageError(f"{how} {words_of or 'just any values'}; name one.")
    return int(found[0])
