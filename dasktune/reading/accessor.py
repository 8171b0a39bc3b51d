"""Results: what an `xarray.Dataset` cannot say by itself; also its accessor ``.dasktune``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from dasktune.errors import UsageError, did_you_mean
from dasktune.ranking import Best, best, leaderboard
from dasktune.reading import selection, statistics
from dasktune.reading.opening import read, required_store
from dasktune.results import objective_of, to_grid, trials_table

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from dasktune.reading.comparison import Comparison
    from dasktune.reading.pairing import Paired
    from dasktune.reading.plots import Plot
    from dasktune.reading.statistics import Verdict


@xr.register_dataset_accessor("dasktune")
class Results:
    """The results of a sweep, around a plain `xarray.Dataset`.

    `dasktune.open` gives one. Once a sweep was opened by it, or by `xarray.open_dataset`, or
    this class was imported, every collated dataset has one as ``dataset.dasktune``.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset, or a part of one.

    Attributes
    ----------
    dataset : xarray.Dataset
        The same, with dimensions ``trial`` and ``epoch``.

    Raises
    ------
    UsageError
        If it is no dataset that dasktune collated.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        if "trial" not in dataset.dims or "objective" not in dataset.attrs:
            raise UsageError(
                "this is no dataset that dasktune collated: it needs the dimension 'trial' and "
                "the attribute 'objective'."
            )
        self.dataset = dataset

    @property
    def partial(self) -> bool:
        """Whether it was read from stamps: of a sweep that goes on, or that was left."""
        return "partial" in self.dataset.attrs

    def best(self, objective: str = "") -> Best | None:
        """Find the best configuration by its mean over the replicates; see `dasktune.best`."""
        return best(self.dataset, objective)

    def front(self) -> pd.DataFrame:
        """Give the Pareto front of several objectives: the configurations that none beats in all.

        Raises
        ------
        UsageError
            If there is one objective.
        """
        if not objective_of(self.dataset).others:
            raise UsageError(
                f"a front needs several objectives, but there is {objective_of(self.dataset)}. "
                "Write by('max accuracy, min seconds').front(), say."
            )
        board = self.leaderboard()
        return board[board["front"] == 1]

    def verdict(self) -> Verdict | None:
        """Say how sure one can be of the best: its interval, and whether others are as good."""
        return statistics.verdict(self.dataset)

    def leaderboard(self, count: int | None = None) -> pd.DataFrame:
        """Rank the configurations; see `dasktune.leaderboard`."""
        return leaderboard(self.dataset, count)

    def trials(self) -> pd.DataFrame:
        """Give a row a trial: hyperparameters, each metric's last value, status, cost."""
        return trials_table(self.dataset)

    def group(self, *names: str) -> pd.DataFrame:
        """Group the trials by hyperparameters: the objective's mean and spread."""
        return selection.group_table(self.dataset, names)

    def where(self, condition: str) -> Results:
        """Keep the trials that meet a condition, such as ``"lr > 0.01 and hidden == 64"``."""
        return Results(selection.where(self.dataset, condition))

    def by(self, objective: str) -> Results:
        """Judge the trials by another metric, such as ``"min val_loss"``."""
        return Results(selection.with_objective(self.dataset, objective))

    def grid(self) -> xr.Dataset:
        """Unstack a full grid into a dimension a hyperparameter; see `dasktune.to_grid`."""
        return to_grid(self.dataset)

    def compare(self, other: Results | xr.Dataset) -> Comparison:
        """Compare with other results, pairwise over the trials that both have."""
        from dasktune.reading.comparison import compare

        second = other.dataset if isinstance(other, Results) else other
        return compare(self.dataset, second)

    def versions(self, *names: str) -> xr.Dataset:
        """Lay versions of the code out along a dimension ``version``, trial beside trial.

        Parameters
        ----------
        *names : str
            Versions (``dasktune results --versions`` lists them), collations or paths; all
            versions that the store has results of, the oldest first, if none is named.

        Returns
        -------
        xarray.Dataset
            With the dimensions ``version``, ``trial`` and ``epoch``; see
            `dasktune.reading.versions.by_version`.
        """
        from dasktune.reading.comparison import open_versions

        return open_versions(required_store(self.dataset.encoding.get("source", "")), names)

    def test(self, first: str | Mapping[str, Any], second: str | Mapping[str, Any]) -> Paired:
        """Test two configurations against each other, paired over their replicates.

        Parameters
        ----------
        first, second : str or mapping
            Enough of their hyperparameters to tell them: ``"lr=0.1,hidden=64"``, or a mapping.
        """
        from dasktune.reading.pairing import compare_configs

        return compare_configs(self.dataset, first, second)

    def importance(self) -> pd.Series[float]:
        """Give each hyperparameter's share of the objective's variance, by fANOVA (Optuna)."""
        from dasktune.reading.importance import importance

        return importance(self.dataset)

    def plot(self, kind: str = "curves", **options: Any) -> Plot:
        """Draw a figure, which a notebook shows.

        Parameters
        ----------
        kind : str
            ``"curves"``, ``"parallel"``, ``"slices"``, ``"heatmap"``, ``"importance"``,
            ``"progress"``, ``"cost"`` or ``"front"``.
        **options
            ``metric`` for curves; ``of``, a list of hyperparameters, for slices and heat maps.
        """
        from dasktune.reading.plots import plot

        return plot(self.dataset, kind, **options)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a report: one HTML file that opens offline."""
        from dasktune.reading.report import write_report

        write_report(self.dataset, os.fspath(path))

    def export(self, path: str | os.PathLike[str], kind: str) -> None:
        """Write a file for other programs; see `dasktune.reading.export.export`."""
        from dasktune.reading.export import export

        export(self.dataset, os.fspath(path), kind)

    def folder(self, trial: str | None = None) -> str:
        """Name the folder of a trial, with its stamp, log and model.

        Parameters
        ----------
        trial : str, optional
            Its id; the best one's if not given.

        Raises
        ------
        UsageError
            If there is no such trial.
        StoreError
            If the dataset is a copy, away from its store.
        """
        if trial is None:
            winner = self.best()
            if winner is None:
                raise UsageError("no trial has a value, so that none is the best.")
            trial = winner.trial
        names = [str(name) for name in self.dataset["trial"].values]
        if trial not in names:
            raise UsageError(f"no trial {trial!r} in the results." + did_you_mean(trial, names))
        key = str(self.dataset["key"].values[names.index(trial)])
        return str(required_store(self.dataset.encoding.get("source", "")).trained(trial, key))

    def load_model(self, trial: str | None = None, **options: Any) -> torch.nn.Module:
        """Give a trial's module with the weights that it kept; see `dasktune.load_model`.

        Parameters
        ----------
        trial : str, optional
            Its id; the best one's if not given.
        **options
            ``epoch`` and ``into``.
        """
        from dasktune.kept import load_model

        return load_model(self.folder(trial), **options)

    def __repr__(self) -> str:
        objective = objective_of(self.dataset)
        text = f"<Results: {self.dataset.sizes['trial']} trials"
        if objective.others:
            text += f", front of {(self.leaderboard()['front'] == 1).sum()} in ({objective})"
        elif (winner := best(self.dataset)) is not None:
            text += f", best {objective.metric} {winner.mean:.5g}"
        return text + (", partial>" if self.partial else ">")

    def _repr_html_(self) -> str:
        from html import escape

        lines = [f"<b>{escape(repr(self))}</b>"]
        verdict = None if objective_of(self.dataset).others else self.verdict()
        if verdict is not None:
            lines.append(escape(f"{objective_of(self.dataset).metric} {verdict.interval}"))
            lines += [escape(note) for note in verdict.notes]
        board = statistics.for_people(self.dataset, self.leaderboard(10))
        table = board.to_html(index=False, border=0, na_rep="")
        return "<br>".join(lines) + str(table)


def open(path: str | os.PathLike[str], *, partial: bool | None = None) -> Results:
    """Open the results of a sweep, also while it runs.

    Parameters
    ----------
    path : path
        ``dist/<pipeline>``, its ``collated.zarr``, or any copy of that.
    partial : bool, optional
        Whether to read the stamps of the trials instead of the collated dataset. If not given,
        whichever is newer is read.

    Returns
    -------
    Results
        Its ``dataset`` is a plain `xarray.Dataset`; ``best()``, ``leaderboard()``, ``plot()``
        and so forth are about it.

    Raises
    ------
    StoreError
        If there are no results, or they cannot be read.

    Examples
    --------
    >>> results = dasktune.open("dist/digits")  # doctest: +SKIP
    >>> results.best().config  # doctest: +SKIP
    {'lr': 0.0215443469003, 'hidden': 256, 'weight_decay': 0.0, 'seed': 2}
    """
    return Results(read(path, partial=partial))
