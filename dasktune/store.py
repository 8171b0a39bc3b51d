"""The store: every path under ``dist/<pipeline>/``, named in one place.

::

    dist/<pipeline>/
    ├── preprocessed/<key>/     data.zarr (one group a split) and .stamp
    ├── trained/<trial>-<key>/  .stamp, log.txt; if train() gave a model back: model.safetensors,
    │                           model.json, and epochs.safetensors if all epochs are kept
    ├── collated/<key>/         results.zarr and .stamp
    ├── collated.zarr           a link to the newest, for people; never read back as truth
    ├── checkpoints/<trial>-<lineage>/   epoch-N.pt of a trial that is not finished, and
    │                           final-N.pt where it ended, for a longer budget to go on from
    ├── failed/<trial>-<key>/   error.json and log.txt of the last failure, or of a stop
    ├── sources/<digest>.json   the code that results were made with
    ├── searches/<key>.jsonl    what a model was asked and told, in order; never believed
    ├── dispatched/<name>/      a sweep that was sent to a queue: its order, jobs, log, end
    ├── runs/<run>/             while a run goes on: how it stands, attempts, stop flags
    └── tmp/                    targets in the making; moved to their place when complete
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dasktune.errors import StampError, StoreError
from dasktune.fingerprint import KEY_LENGTH
from dasktune.stamp import Stamp, read_stamp


@dataclass(frozen=True)
class SavedEpoch:
    """A checkpoint's file.

    Attributes
    ----------
    epoch : int
        The epoch that comes next.
    path : str
        The file.
    final : bool
        Whether a budget ended here; otherwise the training was on its way.
    """

    epoch: int
    path: str
    final: bool


def saved_epochs(folder: str, most: int | None = None) -> list[SavedEpoch]:
    """List the checkpoints of a training, the latest first.

    Parameters
    ----------
    folder : str
        The folder of its checkpoints, which need not exist.
    most : int or None
        Leave out those that come after this epoch.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = []
    for name in names:
        match = re.fullmatch(r"(epoch|final)-(\d+)\.pt", name)
        if match and (most is None or int(match[2]) <= most):
            saved = SavedEpoch(int(match[2]), f"{folder}/{name}", match[1] == "final")
            found.append(saved)
    return sorted(found, key=lambda saved: (saved.epoch, saved.final), reverse=True)


@dataclass(frozen=True)
class Store:
    """The folder that holds one pipeline's targets.

    Attributes
    ----------
    root : str
        ``dist/<pipeline>``, made absolute by `at`.
    """

    root: str

    @classmethod
    def at(cls, folder: str | os.PathLike[str], pipeline: str) -> Store:
        """Name the store of a pipeline below a folder such as ``dist``; nothing is created."""
        return cls(os.path.join(os.path.abspath(folder), pipeline))

    def preprocessed(self, key: str) -> str:
        """Name the folder of a preprocessed store."""
        return f"{self.root}/preprocessed/{key}"

    def trained(self, trial: str, key: str) -> str:
        """Name the folder of a trained trial."""
        return f"{self.root}/trained/{trial}-{key}"

    def collated(self, key: str) -> str:
        """Name the folder of a collation."""
        return f"{self.root}/collated/{key}"

    def failed(self, trial: str, key: str) -> str:
        """Name the folder of a trial's last failure."""
        return f"{self.root}/failed/{trial}-{key}"

    def checkpoints(self, trial: str, lineage: str) -> str:
        """Name the folder of a trial's checkpoints, shared by all its budgets."""
        return f"{self.root}/checkpoints/{trial}-{lineage}"

    def sources(self, digest: str) -> str:
        """Name the file that holds the code results were made with."""
        return f"{self.root}/sources/{digest[:KEY_LENGTH]}.json"

    def run(self, run: str) -> str:
        """Name the folder of a run."""
        return f"{self.root}/runs/{run}"

    def dispatch(self, name: str) -> str:
        """Name the folder of a sweep that was sent to a queue."""
        return f"{self.root}/dispatched/{name}"

    def record(self, search: str) -> str:
        """Name the file that notes what a search by a model has asked for."""
        return f"{self.root}/searches/{search}.jsonl"

    @property
    def tmp(self) -> str:
        """Name the folder of targets in the making."""
        return f"{self.root}/tmp"

    @property
    def view(self) -> str:
        """Name the link to the newest collation."""
        return f"{self.root}/collated.zarr"

    def stamp(self, folder: str) -> Stamp | None:
        """Read the stamp of a target's folder, or give None where there is none.

        Raises
        ------
        StampError
            If it is there, but truncated, edited or of another schema.
        """
        return read_stamp(f"{folder}/.stamp")

    def failure(self, trial: str, key: str) -> dict[str, Any]:
        """Read the record of how a trial failed or was stopped; empty where there is none."""
        try:
            with open(f"{self.failed(trial, key)}/error.json", encoding="utf-8") as file:
                tree = json.load(file)
        except (OSError, ValueError):
            return {}
        return tree if isinstance(tree, dict) else {}

    def last_failure(self, trial: str, keys: list[str]) -> tuple[dict[str, Any], str]:
        """Read the youngest record of a trial's failures, and its key; both may be empty."""
        records = [(self.failure(trial, key), key) for key in keys]
        return max(records, key=lambda pair: pair[0].get("when", 0.0), default=({}, ""))

    def listing(self, kind: str) -> dict[str, list[str]]:
        """List the keys that exist of each trial (or of the one target) of a kind.

        Parameters
        ----------
        kind : str
            ``"preprocessed"``, ``"trained"``, ``"collated"``, ``"failed"`` or ``"checkpoints"``.

        Returns
        -------
        dict of str to list of str
            Keys by trial id; by ``""`` where the folders are named by their key alone.
        """
        found: dict[str, list[str]] = defaultdict(list)
        try:
            names = os.listdir(f"{self.root}/{kind}")
        except FileNotFoundError:
            return found
        except OSError as error:
            raise StoreError(f"cannot list {self.root}/{kind}: {error.strerror}.") from error
        for name in names:
            trial, _, key = name.rpartition("-")
            found[trial].append(key)
        return found

    def newest(self, kind: str, trial: str, keys: list[str]) -> Stamp | None:
        """Read the youngest valid stamp among some keys of a target."""
        path: Callable[[str], str] = (
            (lambda key: self.trained(trial, key))
            if kind == "trained"
            else (lambda key: f"{self.root}/{kind}/{key}")
        )
        stamps: list[tuple[float, Stamp]] = []
        for key in keys:
            try:
                stamp = self.stamp(path(key))
                if stamp is not None:
                    stamps.append((os.stat(f"{path(key)}/.stamp").st_mtime, stamp))
            except (StampError, FileNotFoundError):
                continue
        return max(stamps, key=lambda item: item[0])[1] if stamps else None

    def damage(self, key: str) -> str:
        """Say what is wrong with a preprocessed store: ``""`` if nothing is.

        Files that the stamp does not list do not matter. A listed one that is missing, or has
        another size, does: Zarr would read a missing chunk as zeros, without a word.
        """
        folder = self.preprocessed(key)
        try:
            stamp = self.stamp(folder)
        except StampError:
            return "its stamp is damaged"
        if stamp is None:
            return "never made"
        return damaged_file(folder, stamp)

    def prepare(self) -> None:
        """Create the store's folders.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        try:
            for name in ("preprocessed", "trained", "collated", "tmp", "sources", "runs"):
                os.makedirs(f"{self.root}/{name}", exist_ok=True)
            probe = Path(self.tmp, f".probe-{os.getpid()}")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.root}: {error.strerror}. "
                "Make the folder writable, or name another with --store."
            ) from error


def damaged_file(folder: str, stamp: Stamp) -> str:
    """Say what is wrong with the files of a preprocessed store: ``""`` if nothing is."""
    for path, size, _ in stamp.body["files"]:
        try:
            found = os.stat(f"{folder}/{path}").st_size
        except OSError:
            return f"{path} is missing"
        if found != size:
            return f"{path} has {found} bytes instead of {size}"
    return ""
