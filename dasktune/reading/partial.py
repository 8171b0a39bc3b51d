"""Partial results: the dataset of the trials that are finished, from their stamps alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dasktune.config import Config, Origin, TrialSpec, plain
from dasktune.dataset import dataset_of
from dasktune.errors import StampError, StoreError
from dasktune.facts import about
from dasktune.fingerprint import digest
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.ranking import with_front
from dasktune.recipe import read_codes
from dasktune.source import Sources
from dasktune.stamp import Stamp
from dasktune.store import Store

if TYPE_CHECKING:
    import xarray as xr


def read_partial(store: Store, wanted: str = "") -> xr.Dataset:
    """Read the finished and the failed trials of a sweep that is not collated, or not yet.

    All rows are of one version: of the train code, its variables and the data. A store may
    hold several; the one that made the youngest result is read.

    Parameters
    ----------
    store : Store
        Where the stamps are.
    wanted : str, optional
        How the name of another version, or the digest of its train code, begins.

    Returns
    -------
    xarray.Dataset
        As of a collation, in the order in which the trials ended. The attribute ``partial``
        says how many stamps were damaged and left out.

    Raises
    ------
    StoreError
        If there is no result of that version.
    """
    stamps, damaged = read_stamps(store)
    if wanted:
        stamps = [s for s in stamps if _is(s.body["parts"], wanted)]
    if not stamps:
        reason = f"; {damaged[0]}" if damaged else ""
        raise StoreError(f"no results in {store.root}{reason}. Make some with 'dasktune make'.")
    chosen = version(stamps[-1].body["parts"])
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
    ordered = sorted(rows.values(), key=lambda row: (row[0], row[1].target))
    body = stamps[-1].body
    sources = _sources(store, body["sources"])
    facts = {"variables": body["variables"], "sources": body["sources"]}
    if sources is not None:
        facts |= {"about": about(sources), "file": _file(sources)}
    dataset = dataset_of(
        [_spec(row[2]) for row in ordered],
        [row[1] for row in ordered],
        [row[3] for row in ordered],
        _objective(store, body),
        os.path.basename(store.root),
        facts,
    )
    dataset.attrs["partial"] = len(damaged)
    return with_front(dataset)


def version(parts: dict[str, Any]) -> str:
    """Name what all trials of one sweep have in common: code, variables, data."""
    return digest([parts["code"], parts["variables"], parts["data"]])[:8]


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
