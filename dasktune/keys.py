"""Keys: what goes into each kind of target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dasktune.config import TrialSpec, Value
from dasktune.fingerprint import digest, key, typed
from dasktune.history import History
from dasktune.objective import Objective
from dasktune.outcome import Outcome


def preprocess_parts(
    code: str, variables: Mapping[str, Value], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """Collect what goes into the key of the preprocessed data.

    Parameters
    ----------
    code : str
        Digest of the recipe's code.
    variables : mapping
        The recipe's variables.
    inputs : mapping of str to str
        Digests of the raw inputs by name.
    """
    return {"code": code, "variables": _named(variables), "inputs": dict(inputs)}


def train_parts(
    spec: TrialSpec, code: str, variables: Mapping[str, Value], data: str
) -> dict[str, Any]:
    """Collect what goes into a trial's key.

    Parameters
    ----------
    spec : TrialSpec
        The trial.
    code : str
        Digest of the train recipe's code.
    variables : mapping
        The train recipe's variables.
    data : str
        Digest of the preprocessed data: of what came out, so that an equal result cuts off.
    """
    return {**spec.parts(), "code": code, "variables": _named(variables), "data": data}


def lineage(parts: Mapping[str, Any], budget: str) -> str:
    """Make the key of a training whatever its budget, by which its checkpoints are found.

    Parameters
    ----------
    parts : mapping
        What goes into the trial's key.
    budget : str
        The variable that says for how many epochs it trains; ``""`` if a longer training is
        another one from the start, so that this is the trial's own key.
    """
    if not budget:
        return key("train", parts)
    variables = {name: value for name, value in parts["variables"].items() if name != budget}
    return key("lineage", {**parts, "variables": variables})


def version(parts: Mapping[str, Any], searched: str = "") -> str:
    """Name what all trials of one sweep have in common: code, variables, data.

    Parameters
    ----------
    parts : mapping
        What goes into a trial's key.
    searched : str
        The variable in which the trials of a search differ: for how many epochs they train.
    """
    variables = {name: value for name, value in parts["variables"].items() if name != searched}
    return digest([parts["code"], variables, parts["data"]])[:8]


def collate_key(
    code: str,
    objective: Objective,
    outcomes: Sequence[Outcome],
    histories: Sequence[History] = (),
) -> str:
    """Make the key of a collation: of the recipe, and of what became of each trial."""
    trials = [[o.target, o.key, o.digest, o.status, o.error] for o in outcomes]
    parts = {"code": code, "objective": str(objective), "trials": trials}
    if histories:
        parts["histories"] = [history.to_json() for history in histories]
    return key("collate", parts)


def _named(variables: Mapping[str, Value]) -> dict[str, Any]:
    return {name: typed(value) for name, value in variables.items()}
