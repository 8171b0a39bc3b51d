"""Partial results: the dataset of a sweep on its way, from stamps and what its run tells."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.board import Board
from dasktune.config import Config, Origin, TrialSpec, plain
from dasktune.dataset import dataset_of
from dasktune.errors import StampError, StoreError
from dasktune.facts import about
from dasktune.keys import version
from dasktune.look import driver_is_gone
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.ranking import with_front
from dasktune.recipe import read_codes
from dasktune.runfolder import run_folders
from dasktune.sofar import dense
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
    come (thinned out if it is long), and no ``objective``.

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
        attribute ``partial`` says how many stamps were damaged and left out.

    Raises
    ------
    StoreError
        If there is no result of that version.
    """
    stamps, damaged = read_stamps(store)
    running = list(read_running(store))
    if wanted:
        stamps = [s for s in stamps if _is(s.body["parts"], wanted)]
        running = [trial for trial in running if trial.version.startswith(wanted)]
    if not stamps and not running:
        reason = f"; {damaged[0]}" if damaged else ""
        raise StoreError(f"no results in {store.root}{reason}. Make some with 'dasktune make'.")
    chosen = running[0].version if running else version(stamps[-1].body["parts"])
    rows: dict[str, tuple[float, Outcome, dict[str, Any], Stamp | None]] = {}
    for failure in _failures(store):
        if version(failure["parts"]) == chosen:
            outcome = Outcome(
                str(failure["target"]),
                str(failure["key"]),
                status="failed",
                seconds=float(failure["seconds"]),
                error=str(failure["error"]),
                failure=str(failure.get("failure", "")),
            )
            rows[outcome.target] = (float(failure["when"]), outcome, failure, None)
    for stamp in stamps:
        if version(stamp.body["parts"]) == chosen:
            outcome = Outcome(stamp.target, stamp.key, stamp.digest, seconds=stamp.seconds)
            rows[stamp.target] = (stamp.body["finished"], outcome, stamp.body, stamp)
    curves: dict[str, Any] = {}
    for trial in running:
        row = rows.get(f"trained/{trial.spec.id}")
        if trial.version == chosen and (row is None or row[3] is None):
            rows.pop(f"trained/{trial.spec.id}", None)  # it failed before, and is tried again
            curves[trial.spec.id] = trial.curve
    going = [trial for trial in running if trial.spec.id in curves]
    ordered = sorted(rows.values(), key=lambda row: (row[0], row[1].target))
    dataset = dataset_of(
        [*(_spec(row[2]) for row in ordered), *(trial.spec for trial in going)],
        [*(row[1] for row in ordered), *(trial.outcome for trial in going)],
        [*(row[3] for row in ordered), *(None for _ in going)],
        going[0].objective if going else _objective(store, stamps[-1].body),
        os.path.basename(store.root),
        _facts(store, [s for s in stamps if version(s.body["parts"]) == chosen]),
        curves,
    )
    dataset.attrs["partial"] = len(damaged)
    return with_front(dataset)


SILENT = 300.0
"""Seconds after which a driver that tells nothing is gone; it tells something each ten."""


@dataclass(frozen=True)
class Running:
    """A trial in training, as its run's driver tells of it.

    Attributes
    ----------
    spec : TrialSpec
        The trial.
    version : str
        Of its code, variables and data.
    objective : Objective
        The run's.
    seconds : float
        How long it has been in training.
    curve : dict
        So far, as a stamp would hold it.
    """

    spec: TrialSpec
    version: str
    objective: Objective
    seconds: float
    curve: dict[str, Any]

    @property
    def outcome(self) -> Outcome:
        """What became of it: nothing yet."""
        return Outcome(f"trained/{self.spec.id}", "", status="running", seconds=self.seconds)


@dataclass(frozen=True)
class _Named(TrialSpec):
    """A trial whose name is known already."""

    name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "id", self.name)


def read_running(store: Store) -> Iterator[Running]:
    """Read which trials are in training, of the newest run first; a dead driver's are not."""
    for folder in reversed(run_folders(store.root)):
        told = folder.told()
        if told is None or driver_is_gone(told) or told.get("over"):
            continue
        if folder.silent_for() > SILENT:
            continue  # its driver was on another machine, and died there
        curves = folder.told_curves()
        try:
            board = Board.from_json(told)
            for row in board.running():
                axes = {name: plain(value, where=name) for name, value in row.axes.items()}
                config = {n: v for n, v in axes.items() if n not in board.replicate}
                replicate = {n: int(str(axes[n])) for n in board.replicate if n in axes}
                yield Running(
                    _Named(Config(config), replicate, name=row.id),
                    row.version,
                    board.objective,
                    max(0.0, time.time() - (row.since or time.time())),
                    dense(curves.get(row.id, {})),
                )
        except (KeyError, TypeError, ValueError, IndexError):
            continue  # another version's, or damaged


def in_training(store: Store) -> bool:
    """Say whether some trial is in training now."""
    return next(read_running(store), None) is not None


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


def _is(parts: dict[str, Any], wanted: str) -> bool:
    return version(parts).startswith(wanted) or str(parts["code"]).startswith(wanted)


def read_stamps(store: Store) -> tuple[list[Stamp], list[str]]:
    """Read the stamps of all trained trials, the oldest first.

    Returns
    -------
    (list of Stamp, list of str)
        The good ones; and what is wrong with the others.
    """
    stamps, damaged = [], []
    for trial, keys in store.listing("trained").items():
        for key in keys:
            try:
                stamp = store.stamp(store.trained(trial, key))
            except StampError as error:
                damaged.append(str(error).removesuffix("."))
                continue
            if stamp is not None:
                stamps.append(stamp)
    stamps.sort(key=lambda stamp: (stamp.body["finished"], stamp.target))
    return stamps, damaged


def newest_change(store: Store) -> float:
    """Give when the last trial was committed, without reading any; 0.0 without trials."""
    newest = 0.0
    try:
        with os.scandir(f"{store.root}/trained") as entries:
            for entry in entries:
                try:
                    newest = max(newest, os.stat(f"{entry.path}/.stamp").st_mtime)
                except OSError:
                    continue
    except OSError:
        return 0.0
    return newest


def _failures(store: Store) -> Iterator[dict[str, Any]]:
    for trial, keys in store.listing("failed").items():
        for key in keys:
            try:
                with open(f"{store.failed(trial, key)}/error.json", encoding="utf-8") as file:
                    tree = json.load(file)
            except (OSError, ValueError):
                continue  # being written, or by hand
            if isinstance(tree, dict) and "parts" in tree:
                yield {**tree, "key": key}


def _spec(body: dict[str, Any]) -> TrialSpec:
    replicate = body["parts"]["replicate"]
    axes = {name: plain(value, where=name) for name, value in body["axes"].items()}
    config = {name: value for name, value in axes.items() if name not in replicate}
    # An axis that is in no part has its neutral value: it came later than the trial.
    known = body["parts"]["config"].keys() | replicate.keys()
    neutral = tuple(name for name in axes if name not in known)
    numbers = {name: int(str(axes[name])) for name in replicate}
    origin = Origin(**body["parts"]["origin"]) if "origin" in body["parts"] else None
    return TrialSpec(Config(config), numbers, neutral=neutral, origin=origin)


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
