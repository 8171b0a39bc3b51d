"""Why a target is out of date: what differs from its newest older version, with the code's diff."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dasktune.errors import StampError
from dasktune.failure.kind import Kind
from dasktune.plan import Plan, State
from dasktune.planner import FAILED, FAILED_BEFORE, Planner, show
from dasktune.recipe import read_codes
from dasktune.stamp import Stamp


@dataclass
class Why:
    """A node of the explanation.

    Attributes
    ----------
    text : str
        One line.
    diff : list of str
        Lines of a unified diff, where code changed.
    causes : list of Why
        What it follows from.
    """

    text: str
    diff: list[str] = field(default_factory=list)
    causes: list[Why] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        causes = [cause.to_json() for cause in self.causes]
        return {"text": self.text, "diff": self.diff, "causes": causes}


def why(planner: Planner, plan: Plan, name: str) -> Why:
    """Explain the state of a target.

    Parameters
    ----------
    planner : Planner
        Knows the pipeline and the store.
    plan : Plan
        A plan that has the target.
    name : str
        The target.
    """
    target = plan.targets[name]
    if target.state is State.DONE:
        return Why(f"{name}: up to date", causes=_made_of(planner, plan, name))
    explained = Why(f"{name}: {target.reason}")
    if target.reason in (FAILED, FAILED_BEFORE) and target.spec is not None:
        explained.causes += _failure(planner, target.spec.id)
    if name == "preprocessed" or target.spec is not None:
        explained.causes += _changes(planner, name)
    for need in target.needs:
        if need in plan.targets and plan.targets[need].state is not State.DONE:
            if len(explained.causes) >= 10:
                explained.causes.append(Why("and so forth"))
                break
            explained.causes.append(why(planner, plan, need))
    return explained


def unplanned(planner: Planner, name: str) -> Why:
    """Tell what is known of a trial that no target of the plan is.

    Parameters
    ----------
    planner : Planner
        Knows the store.
    name : str
        The trial's target.
    """
    trial = name.removeprefix("trained/")
    found = Why(
        f"{name}: not of this sweep, but of an earlier one or of another search; "
        "name that with --search"
    )
    keys = planner.store.listing("trained").get(trial, [])
    stamp = planner.store.newest("trained", trial, keys)
    if stamp is None:
        found.causes += _failure(planner, trial)
    else:
        found.causes += _made(stamp, planner.store.trained(trial, stamp.key))
    return found


def _made_of(planner: Planner, plan: Plan, name: str) -> list[Why]:
    outcome = plan.targets[name].outcome
    if outcome is None:
        return []
    spec = plan.targets[name].spec
    folder = {
        "preprocessed": planner.store.preprocessed(outcome.key),
        "collated": planner.store.collated(outcome.key),
    }.get(name) or planner.store.trained(spec.id if spec else "", outcome.key)
    stamp = planner.store.stamp(folder)
    if stamp is None:
        return []
    return _made(stamp, folder)


def _made(stamp: Stamp, folder: str) -> list[Why]:
    place = stamp.body["place"]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(stamp.body["finished"]))
    made = [Why(f"made {when} in {stamp.seconds:.1f} s on {place['host']}"), Why(f"in {folder}")]
    return made + _setbacks(stamp.body)


def _failure(planner: Planner, trial: str) -> list[Why]:
    """Tell how a trial failed, and what befell its attempts before."""
    keys = planner.store.listing("failed").get(trial, [])
    record, key = planner.store.last_failure(trial, keys)
    if not record:
        return []
    kind = record.get("failure") or Kind.EXCEPTION
    found = [Why(f"{kind}: {record['error']}"), *_setbacks(record)]
    log = f"{planner.store.failed(trial, key)}/log.txt"
    return [*found, Why(f"log in {log}")] if os.path.exists(log) else found


def _setbacks(record: Mapping[str, Any]) -> list[Why]:
    return [
        Why(f"tried again after {s['kind']}: {s['evidence']}") for s in record.get("setbacks", ())
    ]


def _changes(planner: Planner, name: str) -> list[Why]:
    kind = "preprocessed" if name == "preprocessed" else "trained"
    trial = "" if kind == "preprocessed" else name.removeprefix("trained/")
    keys = planner.store.listing(kind).get(trial, [])
    try:
        older = planner.store.newest(kind, trial, keys)
    except StampError:
        return []
    if older is None:
        return []
    role = "preprocess" if kind == "preprocessed" else "train"
    found = _code_changes(planner, role, older)
    variables = planner.pipeline.variables[role]
    from dasktune.fingerprint import typed

    before = older.body["parts"].get("variables", {})
    now = {key: typed(value) for key, value in variables.items()}
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            found.append(Why(f"{key}: {show(before.get(key))} -> {show(now.get(key))}"))
    inputs = older.body["parts"].get("inputs", {})
    if kind == "preprocessed":
        for key in sorted(inputs.keys() | planner.inputs.keys()):
            if inputs.get(key) != planner.inputs.get(key):
                found.append(Why(f"raw input {key} changed"))
    found += _version_notes(older)
    return found


def _code_changes(planner: Planner, role: str, older: Stamp) -> list[Why]:
    code = planner.codes.codes[role]
    if older.body["parts"]["code"] == code.digest:
        return []
    tree = read_codes(planner.store, older.body["sources"])
    if tree is None:
        return [Why(f"code of {role} changed (the older code is gone)")]
    stored = tree["codes"].get(role, {"parts": {}, "texts": {}})
    found = []
    for name in sorted(stored["parts"].keys() | code.parts.keys()):
        if stored["parts"].get(name) == code.parts.get(name):
            continue
        old = stored["texts"].get(name, "").splitlines()
        new = code.texts.get(name, "").splitlines()
        diff = list(difflib.unified_diff(old, new, "before", "now", lineterm="", n=2))[2:]
        word = "changed" if old and new else ("is new" if new else "is gone")
        found.append(Why(f"code {name} {word}", diff))
    return found


def _version_notes(older: Stamp) -> list[Why]:
    from dasktune.provenance import versions

    now = versions()
    return [
        Why(f"{name} {before} -> {now[name]} (noted only; not a reason)")
        for name, before in older.body.get("versions", {}).items()
        if name in now and now[name] != before
    ]
