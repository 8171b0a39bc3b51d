"""Touching (``-t``): accept an older result as if it had been made now."""

from __future__ import annotations

import os
import shutil
import time

from dasktune.commit import publish, staging
from dasktune.errors import UsageError
from dasktune.fingerprint import key as key_of
from dasktune.keys import train_parts
from dasktune.plan import Request, State, Target
from dasktune.planner import Planner
from dasktune.stamp import Stamp


def touch(planner: Planner, request: Request) -> list[str]:
    """File the newest older result of each target that is out of date under its present key.

    The stamp says so: ``accepted`` holds the key that it was made with.

    Parameters
    ----------
    planner : Planner
        Knows the pipeline and the store.
    request : Request
        The goals.

    Returns
    -------
    list of str
        The targets that were touched. ``collated`` is not among them: it is cheap, and the
        next run makes it from what was accepted.

    Raises
    ------
    UsageError
        If a target has no older result: what was never made cannot be accepted.
    """
    if planner.pipeline.search is not None:
        raise UsageError("-t cannot touch a search, whose targets follow from results.")
    touched: list[str] = []
    while True:
        plan = planner.plan(request)
        stale = [
            t
            for t in plan.targets.values()
            if t.state is not State.DONE and not t.phony and t.name != "collated"
        ]
        if not stale:
            return touched
        first = [t for t in stale if t.name == "preprocessed"] or stale
        for target in first:
            _accept(planner, target, plan.targets["preprocessed"])
            touched.append(target.name)
        planner.forget()


def _accept(planner: Planner, target: Target, preprocessed: Target) -> None:
    store = planner.store
    if target.spec is None:
        kind, trial = "preprocessed", ""
        parts = planner.preprocess_parts()
        key = key_of("preprocess", parts)
        final = store.preprocessed(key)
    else:
        assert preprocessed.outcome is not None
        kind, trial = "trained", target.spec.id
        variables = planner.pipeline.variables_of(target.spec)
        code = planner.codes.codes["train"].digest
        parts = train_parts(target.spec, code, variables, preprocessed.outcome.digest)
        key = key_of("train", parts)
        final = store.trained(trial, key)
    keys = [k for k in store.listing(kind).get(trial, []) if k != key]
    if kind == "preprocessed":
        keys = [k for k in keys if not store.damage(k)]
    older = store.newest(kind, trial, keys)
    if older is None:
        raise UsageError(
            f"-t cannot touch '{target.name}': there is no result of it to accept. Make it."
        )
    source = store.trained(trial, older.key) if trial else store.preprocessed(older.key)
    body = {
        **older.body,
        "parts": parts,
        "sources": planner.codes.digest,
        "accepted": {"key": older.key, "when": time.time()},
    }
    stamp = Stamp.of(older.kind, older.target, key, older.digest, older.seconds, body)
    with staging(store, f"{trial}-{key}" if trial else key) as folder:
        os.rmdir(folder)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".stamp"))
        publish(store, folder, final, stamp, replace=False)
