"""Partial results: the dataset of a sweep on its way, from stamps and what its run tells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune import descent
from dasktune.config import TrialSpec
from dasktune.dataset import dataset_of
from dasktune.errors import StoreError
from dasktune.facts import about
from dasktune.history import costs
from dasktune.libraries import uncollected
from dasktune.objective import Objective
from dasktune.ranking import with_front
from dasktune.reading.ended import Ended, Versions, budget_of, by_trial, read_failures, read_stamps
from dasktune.reading.training import Running, read_running
from dasktune.recipe import read_codes
from dasktune.source import Sources
from dasktune.stamp import Stamp
from dasktune.store import Store

if TYPE_CHECKING:
    import xarray as xr


def read_partial(store: Store, wanted: str = "") -> xr.Dataset:
    """Read the trials of a sweep that is not collated, or not yet: ended, and in training.

    All rows are of one version: of the train code, its variables and the data. A store may
    hold several; the one that is in training is read, else the one that made the youngest
    result. A trial in training has the status ``running``, its curve as far as its reports have
    come (thinned out if it is long), and no ``objective``. A trial of a search is told by the
    longest budget that has ended, also while it is trained for a longer one.

    Parameters
    ----------
    store : Store
        Where the stamps are.
    wanted : str, optional
        How the name of another version, or the digest of its train code, begins.

    Returns
    -------
    xarray.Dataset
        As of a collation, in the order in which the trials ended, those in training last. The
        attribute ``partial`` says how many stamps were damaged and left out. Of a search there
        are ``budget`` and ``spent``, and ``parent``, ``began`` and the schedules if trials began
        from others; ``bracket``, ``rung`` and ``stopped`` are for the search to say at its end.

    Raises
    ------
    StoreError
        If there is no result of that version.
    """
    with uncollected():  # a million small things are made: half the time
        return _read(store, wanted)


def _read(store: Store, wanted: str) -> xr.Dataset:
    stamps, damaged = read_stamps(store)
    records, running = list(read_failures(store)), list(read_running(store))
    bodies = [*(stamp.body for stamp in stamps), *records]
    versions = Versions(bodies, [trial.searched for trial in running])
    if wanted:
        stamps = [stamp for stamp in stamps if versions.fits(wanted, stamp.body)]
        running = [trial for trial in running if trial.version.startswith(wanted)]
    if not stamps and not running:
        reason = f"; {damaged[0]}" if damaged else ""
        raise StoreError(f"no results in {store.root}{reason}. Make some with 'dasktune make'.")
    chosen = running[0].version if running else versions.name(stamps[-1].body, wanted)
    objective = running[0].objective if running else _objective(store, stamps[-1].body)
    stamps = [stamp for stamp in stamps if versions.has(chosen, stamp.body)]
    searched = versions.searched(chosen)
    failed = [Ended.failed(r) for r in records if versions.has(chosen, r)]
    well = [Ended.well(of_trial) for of_trial in by_trial(stamps, searched).values()]
    rows = {ended.spec.id: ended for ended in (*failed, *well)}
    training: dict[str, Running] = {}
    for trial in running:
        row = rows.get(trial.spec.id)
        if trial.version == chosen and (row is None or not row.stamps):
            rows.pop(trial.spec.id, None)  # it failed before, and is tried again
            training.setdefault(trial.spec.id, trial)  # two runs may train it
    going = list(training.values())
    ordered = sorted(rows.values(), key=lambda row: (row.when, row.spec.id))
    specs = [*(row.spec for row in ordered), *(trial.spec for trial in going)]
    made: list[Sequence[Stamp]] = [*(row.stamps for row in ordered), *(() for _ in going)]
    dataset = dataset_of(
        specs,
        [*(row.outcome for row in ordered), *(trial.outcome for trial in going)],
        [of_trial[-1] if of_trial else None for of_trial in made],
        objective,
        os.path.basename(store.root),
        _facts(store, stamps),
        {trial.spec.id: trial.curve for trial in going},
    )
    if searched:
        epochs = [trial.curve["epochs"] for trial in going]
        dataset = _with_budgets(dataset, specs, made, searched, epochs)
    dataset.attrs["partial"] = len(damaged)
    return with_front(dataset)


def _with_budgets(
    dataset: xr.Dataset,
    specs: Sequence[TrialSpec],
    made: Sequence[Sequence[Stamp]],
    searched: str,
    going: Sequence[int],
) -> xr.Dataset:
    """Give the dataset of a search what the stamps tell of it.

    The last trials are those in training, of which it is known how many epochs they have.
    """
    budgets = [budget_of(some[-1], searched) if some else 0 for some in made]
    found: dict[str, Any] = {"budget": ("trial", np.array(budgets, dtype=np.int64)), **costs(made)}
    seconds = found["seconds"][1]
    found["seconds"] = ("trial", np.where(seconds > 0, seconds, dataset["seconds"].values))
    trained = [*budgets[: len(budgets) - len(going)], *going]
    found |= descent.coordinates(specs, trained, dataset.sizes["epoch"])
    return dataset.assign_coords({n: v for n, v in found.items() if n not in dataset.data_vars})


def _facts(store: Store, stamps: list[Stamp]) -> dict[str, Any]:
    """Say what is known of the sweep, from its youngest stamp."""
    if not stamps:
        return {}
    body = stamps[-1].body
    sources = _sources(store, body["sources"])
    facts = {"variables": body["variables"], "sources": body["sources"]}
    if sources is not None:
        facts |= {"about": about(sources), "file": _file(sources)}
    return facts


def _objective(store: Store, body: dict[str, Any]) -> Objective:
    if "objective" in body:
        return Objective.parse(body["objective"])
    raise StoreError(
        f"the results in {store.root} are by an older dasktune. Collate them with "
        "'dasktune make collated', or train them again with 'dasktune make -B'."
    )


def _sources(store: Store, digest: str) -> Sources | None:
    tree = read_codes(store, digest)
    return Sources.from_json(tree["sources"]) if tree else None


def _file(sources: Sources) -> str:
    return os.path.basename(str(sources.modules[sources.main]["file"]))
