"""Ended trials, as a store holds them: from their stamps, and the records of failures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dasktune.config import Config, Origin, TrialSpec, plain
from dasktune.errors import StampError
from dasktune.keys import version
from dasktune.outcome import Outcome
from dasktune.stamp import Stamp
from dasktune.store import Store


@dataclass(frozen=True)
class KnownSpec(TrialSpec):
    """A trial whose name is known already; its seed is not.

    Attributes
    ----------
    name : str
        Its id.
    """

    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.name)
        object.__setattr__(self, "seed", 0)

    @classmethod
    def of(
        cls, name: str, axes: dict[str, Any], replicate: Iterable[str], origin: Any = None
    ) -> KnownSpec:
        """Make one from what JSON holds of it."""
        values = {axis: plain(value, where=axis) for axis, value in axes.items()}
        numbers = {axis: int(str(values.pop(axis))) for axis in replicate if axis in values}
        return cls(Config(values), numbers, origin=Origin(**origin) if origin else None, name=name)


@dataclass(frozen=True)
class Ended:
    """A trial that has ended.

    Attributes
    ----------
    when : float
        In seconds since 1970.
    spec : TrialSpec
        The trial.
    outcome : Outcome
        What became of it.
    stamps : sequence of Stamp
        Of all budgets that it was trained for, the longest last; none if it failed.
    """

    when: float
    spec: TrialSpec
    outcome: Outcome
    stamps: Sequence[Stamp] = ()

    @classmethod
    def well(cls, stamps: Sequence[Stamp]) -> Ended:
        """Tell of a trial by its stamps."""
        stamp = stamps[-1]
        outcome = Outcome(stamp.target, stamp.key, stamp.digest, seconds=stamp.seconds)
        return cls(stamp.body["finished"], _spec(stamp.target, stamp.body), outcome, stamps)

    @classmethod
    def failed(cls, record: dict[str, Any]) -> Ended:
        """Tell of a trial by the record of its failure."""
        target = str(record["target"])
        outcome = Outcome(
            target,
            str(record["key"]),
            status="failed",
            seconds=float(record["seconds"]),
            error=str(record["error"]),
            failure=str(record.get("failure", "")),
        )
        return cls(float(record["when"]), _spec(target, record), outcome)


def _spec(target: str, body: dict[str, Any]) -> TrialSpec:
    parts = body["parts"]
    name = target.removeprefix("trained/")
    # An axis that is in no part has its neutral value: it came later than the trial.
    return KnownSpec.of(name, body["axes"], parts["replicate"], parts.get("origin"))


class Versions:
    """The names of the versions that a store holds results of: of code, variables and data.

    What a search trained counts without the variable that it chose itself, the epochs; then
    what a sweep without a search trained is of that version, too.

    Parameters
    ----------
    bodies : iterable of dict
        The bodies of all stamps, and the records of failures.
    searched : iterable of str
        The variables that searches choose which train now.
    """

    def __init__(self, bodies: Iterable[dict[str, Any]], searched: Iterable[str] = ()) -> None:
        known = (str(body.get("searched", "")) for body in bodies)
        self._variables = sorted({"", *searched, *known})
        self._known: dict[Any, dict[str, str]] = {}
        self._searched: dict[str, str] = {}

    def name(self, body: dict[str, Any], wanted: str = "") -> str:
        """Name the version of a stamp or record: its own, or another of its that begins so."""
        names = self._names(body)
        own = names[str(body.get("searched", ""))]
        if not wanted or own.startswith(wanted):
            return own
        return next((name for name in names.values() if name.startswith(wanted)), own)

    def has(self, version: str, body: dict[str, Any]) -> bool:
        """Say whether a stamp or record is of a version."""
        return version in self._names(body).values()

    def fits(self, word: str, body: dict[str, Any]) -> bool:
        """Say whether the name of its version, or the digest of its code, begins so."""
        names = self._names(body).values()
        return any(name.startswith(word) for name in (*names, str(body["parts"]["code"])))

    def searched(self, version: str) -> str:
        """Name the variable that a search chose in a version; ``""`` without a search."""
        return self._searched.get(version, "")

    def _names(self, body: dict[str, Any]) -> dict[str, str]:
        parts = body["parts"]
        content = (parts["code"], repr(parts["variables"]), parts["data"])
        if content not in self._known:
            names = {variable: version(parts, variable) for variable in self._variables}
            self._known[content] = names
            for variable, name in names.items():
                self._searched.setdefault(name, variable)
        return self._known[content]


def by_trial(stamps: Sequence[Stamp], searched: str) -> dict[str, list[Stamp]]:
    """Collect the stamps of each trial, in ascending order of their budget.

    Parameters
    ----------
    stamps : sequence of Stamp
        Of one version.
    searched : str
        The variable that holds the budget.

    Returns
    -------
    dict of str to list of Stamp
        By target.
    """
    found: dict[str, list[Stamp]] = {}
    for stamp in stamps:
        found.setdefault(stamp.target, []).append(stamp)
    for some in found.values():
        if len(some) > 1:
            some.sort(key=lambda stamp: (budget_of(stamp, searched), stamp.body["finished"]))
    return found


def budget_of(stamp: Stamp, searched: str) -> int:
    """Give the budget of a stamp; 0 if it has none."""
    budget = stamp.body["variables"].get(searched)
    return budget if isinstance(budget, int) else 0


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


def read_failures(store: Store) -> Iterator[dict[str, Any]]:
    """Read the records of failures; one that is being written, or is damaged, is left out."""
    for trial, keys in store.listing("failed").items():
        for key in keys:
            try:
                with open(f"{store.failed(trial, key)}/error.json", encoding="utf-8") as file:
                    tree = json.load(file)
            except (OSError, ValueError):
                continue
            if isinstance(tree, dict) and "parts" in tree:
                yield {**tree, "key": key}
