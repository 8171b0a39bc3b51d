"""The preprocess node: the user's splits, written once as a Zarr store."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dasktune.commit import publish, readable_errors, staging
from dasktune.config import Value
from dasktune.errors import DataError, StampError
from dasktune.fingerprint import file_digest, tree_digest
from dasktune.fingerprint import key as key_of
from dasktune.keys import preprocess_parts
from dasktune.outcome import Outcome, TargetFailed
from dasktune.provenance import place, versions
from dasktune.recipe import recipe_pipeline
from dasktune.runfolder import RunFolder
from dasktune.seeding import seed_everything
from dasktune.stamp import Stamp
from dasktune.store import Store
from dasktune.trial import Emit
from dasktune.writing import write_split

if TYPE_CHECKING:
    import xarray as xr

TARGET = "preprocessed"


@dataclass(frozen=True)
class PreprocessTask:
    """All that the preprocess node needs to know.

    Attributes
    ----------
    root, run : str
        The store's folder and the run's name.
    sources, code : str
        Digests of the user's sources and of the recipe's code.
    variables : dict
        The recipe's variables.
    inputs : dict of str to str
        Digests of the raw inputs by name.
    force : bool
        Whether to preprocess even if a result is there (``-B``).
    """

    root: str
    run: str
    sources: str
    code: str
    variables: dict[str, Value] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    force: bool = False

    def parts(self) -> dict[str, Any]:
        """Collect what goes into the key."""
        return preprocess_parts(self.code, self.variables, self.inputs)

    @property
    def key(self) -> str:
        """The key."""
        return key_of("preprocess", self.parts())


def preprocess(
    task: PreprocessTask,
    *,
    worker: str = "none",
    emit: Emit = lambda event: None,
    debug: bool = False,
) -> Outcome:
    """Preprocess the data and commit the store, unless a good one is there.

    Raises
    ------
    TargetFailed
        If the recipe failed.
    """
    store, run = Store(task.root), RunFolder(Store(task.root).run(task.run))
    final = store.preprocessed(task.key)
    if not task.force and (found := intact(store, task.key)) is not None:
        return Outcome(TARGET, found.key, found.digest, made=False, seconds=found.seconds)
    if run.stopping():
        return Outcome(TARGET, task.key, status="skipped", made=False)
    emit({"event": "started", "target": TARGET, "worker": worker})
    started = time.perf_counter()
    try:
        pipeline = recipe_pipeline(store, task.sources, "preprocess", task.code)
        seed_everything(0)
        splits = check_splits(pipeline.preprocess(**task.variables))
        with staging(store, task.key) as folder:
            digests: dict[str, str] = {}
            with readable_errors(store):
                for name, dataset in splits.items():
                    digests |= write_split(f"{folder}/data.zarr", name, dataset)
                files = list_files(folder, digests)
            body = {
                "parts": task.parts(),
                "sources": task.sources,
                "splits": list(splits),
                "files": files,
                "place": place(worker),
                "versions": versions(),
                "finished": time.time(),
            }
            digest = tree_digest((path, sha) for path, _, sha in files)
            seconds = time.perf_counter() - started
            stamp = Stamp.of("preprocess", TARGET, task.key, digest, seconds, body)
            broken = intact(store, task.key) is None
            stamp = publish(store, folder, final, stamp, replace=task.force or broken)
        return Outcome(TARGET, stamp.key, stamp.digest, seconds=stamp.seconds)
    except Exception as error:
        if debug:
            raise
        run.stop(TARGET)
        text = " ".join(f"{error}".split())
        if not isinstance(error, (DataError, StampError, OSError)):
            text = f"{type(error).__name__}: {text}"
        seconds = time.perf_counter() - started
        raise TargetFailed(
            Outcome(TARGET, task.key, status="failed", seconds=seconds, error=text)
        ) from error


def intact(store: Store, key: str) -> Stamp | None:
    """Give the stamp of a preprocessed store whose files are all there, else None."""
    return None if store.damage(key) else store.stamp(store.preprocessed(key))


def check_splits(splits: Any) -> dict[str, xr.Dataset]:
    """Check what the recipe gave back.

    Raises
    ------
    DataError
        If it is not a mapping of names to datasets, or is empty.
    """
    import xarray as xr

    if not isinstance(splits, Mapping) or not splits:
        raise DataError(
            "preprocess() must give back a mapping of split names to xarray.Dataset, such as "
            f"{{'train': …, 'val': …}}, but gave {type(splits).__name__}."
        )
    for name, dataset in splits.items():
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            raise DataError(f"a split's name must be a plain word, but got {name!r}.")
        if not isinstance(dataset, xr.Dataset):
            raise DataError(
                f"the split {name!r} must be an xarray.Dataset, but is a "
                f"{type(dataset).__name__}. Write xr.Dataset({{'x': (('sample', 'pixel'), x)}})."
            )
    return dict(splits)


def list_files(folder: str, known: Mapping[str, str] | None = None) -> list[tuple[str, int, str]]:
    """List the files below a folder: relative path, size in bytes, digest.

    Parameters
    ----------
    folder : str
        The folder.
    known : mapping of str to str, optional
        Digests that are known already, by full path.
    """
    known = known or {}
    found = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            found.append((relative, os.stat(path).st_size, known.get(path) or file_digest(path)))
    return found
