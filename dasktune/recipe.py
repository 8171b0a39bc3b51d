"""Recipes on a worker: the code that a plan was made with, and no other."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dasktune.arrival import awaited
from dasktune.closure import Code, fingerprint
from dasktune.commit import write_atomically
from dasktune.errors import CodeSkewError
from dasktune.load import activate, find_pipeline
from dasktune.pipeline import Pipeline
from dasktune.source import Sources, text_of
from dasktune.store import Store

ROLES = ("preprocess", "train", "collate")


@dataclass(frozen=True)
class Codes:
    """The code of a pipeline: its sources, and what each recipe reaches of them.

    Attributes
    ----------
    sources : Sources
        The texts of the user's modules.
    codes : dict of str to Code
        By role: ``"preprocess"``, ``"train"``, ``"collate"``.
    """

    sources: Sources
    codes: dict[str, Code]

    @property
    def digest(self) -> str:
        """Digest of the sources, by which workers ask for them."""
        return self.sources.digest

    def save(self, store: Store) -> None:
        """Write the sources into the store, for workers and for `why`."""
        path = store.sources(self.digest)
        if not os.path.exists(path):
            tree = {
                "sources": self.sources.to_json(),
                "codes": {
                    role: {"parts": code.parts, "texts": code.texts, "digest": code.digest}
                    for role, code in self.codes.items()
                },
            }
            write_atomically(path, json.dumps(tree, indent=1).encode())


def codes_of(pipeline: Pipeline) -> Codes:
    """Fingerprint the recipes of a pipeline.

    Raises
    ------
    SourceError
        If the identity of some code cannot be told.
    """
    sources = _sources(pipeline)
    codes = {
        role: fingerprint(
            getattr(pipeline, role),
            sources,
            uses=pipeline.uses if role == "train" else (),
            defaults=role not in pipeline.variables,
        )
        for role in ROLES
        if getattr(pipeline, role) is not None
    }
    with _lock:
        _keep(sources.digest, pipeline, codes)
    return Codes(sources, codes)


def _keep(digest: str, pipeline: Pipeline, codes: Mapping[str, Code]) -> None:
    _live[digest] = pipeline
    _held.update(((digest, role), code.digest) for role, code in codes.items())


def bring(pipeline: Pipeline, codes: Codes) -> None:
    """Let this process make a pipeline that is in no file, and came here by itself.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline.
    codes : Codes
        Its code where it came from.

    Raises
    ------
    CodeSkewError
        If this process has other versions of the user's modules.
    """
    for name, module in codes.sources.modules.items():
        here = text_of(name) if name != "__main__" else None
        if here is not None and here != module["source"]:
            raise CodeSkewError(
                f"this worker holds another version of {name} than the search was planned with. "
                "Restart the workers, and run again."
            )
    with _lock:
        _keep(codes.digest, pipeline, codes.codes)


def withdraw(codes: Codes) -> None:
    """Forget a pipeline, and with it the data that it holds."""
    with _lock:
        _live.pop(codes.digest, None)


def _sources(pipeline: Pipeline) -> Sources:
    """Take the texts of a pipeline's modules; one that is in no file knows them itself."""
    known = getattr(pipeline.train, "sources", None)
    return known() if known is not None else Sources.snapshot(pipeline.train.__module__)


def read_codes(store: Store, digest: str) -> dict[str, Any] | None:
    """Read what `Codes.save` wrote, or None where it is gone."""
    try:
        with open(store.sources(digest), "rb") as file:
            tree: dict[str, Any] = json.load(file)
            return tree
    except (OSError, ValueError):
        return None


_live: dict[str, Pipeline] = {}
_held: dict[tuple[str, str], str] = {}  # digests of code, by that of the sources and the role
_lock = threading.RLock()


def pipeline_of(store: Store, sources_digest: str) -> Pipeline:
    """Give the pipeline that certain sources define.

    Parameters
    ----------
    store : Store
        Where the sources are.
    sources_digest : str
        Their digest.

    Raises
    ------
    StoreError
        If they are gone.
    CodeSkewError
        If they are those of a pipeline that is in no file, and was not brought here.
    """
    with _lock:
        if sources_digest not in _live:
            tree = awaited(lambda: read_codes(store, sources_digest), store.sources(sources_digest))
            sources = Sources.from_json(tree["sources"])
            if not sources.modules[sources.main]["file"]:
                raise CodeSkewError(
                    "this search is in no file, and its parts did not reach this worker. "
                    "Run it again."
                )
            pipeline = find_pipeline(activate(sources))
            # At once: another pipeline's file may have the same name, and be loaded next.
            _keep(sources_digest, pipeline, codes_of(pipeline).codes)
        return _live[sources_digest]


def recipe_pipeline(store: Store, sources_digest: str, role: str, code_digest: str) -> Pipeline:
    """Give the pipeline whose recipe has just the code that a plan was made with.

    Parameters
    ----------
    store : Store
        Where the sources are.
    sources_digest : str
        Digest of the sources.
    role : str
        ``"preprocess"``, ``"train"`` or ``"collate"``.
    code_digest : str
        Digest of the code that the recipe must have.

    Raises
    ------
    CodeSkewError
        If this process would run other code.
    """
    with _lock:
        pipeline = pipeline_of(store, sources_digest)
        if _held.get((sources_digest, role)) != code_digest:
            raise CodeSkewError(
                f"this worker holds other code for {role} than the plan was made with. "
                "Restart the workers, or the notebook, and run again."
            )
        return pipeline
