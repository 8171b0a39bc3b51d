"""The same plan as a GNU Makefile, so that a sweep outlives Dask.

The key is in the path: a target is a link, named by what goes into it, to the stamp of what
came out. GNU make follows the link, so that a target whose result was deleted is made again;
and another configuration or another version of the code is another file.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from dasktune.commit import link_atomically
from dasktune.errors import UsageError
from dasktune.fingerprint import digest, key
from dasktune.keys import preprocess_parts, train_parts
from dasktune.plan import Plan, Request
from dasktune.run import Options, make
from dasktune.summary import Summary
from dasktune.sweep import Sweep


def links(sweep: Sweep, plan: Plan) -> dict[str, str]:
    """Name the link of each target of a plan, relative to the store.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    plan : Plan
        Its plan for ``all``.

    Returns
    -------
    dict of str to str
        By target. A link's key is made of the recipes and configs alone, so that it is known
        before anything has run.
    """
    codes = {role: code.digest for role, code in sweep.codes.codes.items()}
    variables = sweep.pipeline.variables
    first = key(
        "preprocess", preprocess_parts(codes["preprocess"], variables["preprocess"], sweep.inputs)
    )
    found = {"preprocessed": f"make/preprocessed-{first}"}
    for spec in plan.specs:
        parts = train_parts(spec, codes["train"], sweep.pipeline.variables_of(spec), first)
        # GNU make takes a line with "=" for a variable.
        readable = spec.id.replace("=", "_")
        found[f"trained/{spec.id}"] = f"make/{readable}-{key('train', parts)}"
    last = digest([codes.get("collate", ""), str(sweep.pipeline.objective), sorted(found.values())])
    found["collated"] = f"make/collated-{last[:16]}"
    return found


def export_makefile(sweep: Sweep, variables: Sequence[str], *, python: str = "") -> str:
    """Write the sweep as a Makefile, and link what is already made.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    variables : sequence of str
        The ``VAR=VAL`` that it was loaded with; the Makefile's nodes get the same.
    python : str, optional
        The interpreter that runs the nodes; this one if not given.

    Returns
    -------
    str
        The Makefile's text, for the folder that this process is in.
    """
    if sweep.pipeline.search is not None:
        raise UsageError(
            "a search cannot be written as a Makefile: its targets follow from results. "
            "Export the pipeline without search=."
        )
    plan = sweep.plan()
    names = links(sweep, plan)
    root = os.path.relpath(sweep.store.root)
    for name, target in plan.targets.items():
        if name in names and target.outcome is not None and target.outcome.status == "ok":
            link(sweep, names[name], _folder(sweep, name, target.outcome.key))
    store = os.path.dirname(root) or "."
    command = [python or sys.executable, "-m", "dasktune", "node", "-f", sweep.file]
    command += ["--store", store, *variables]
    trials = [name for name in names if name.startswith("trained/")]
    lines = [
        f"# {sweep.name}: {sweep.pipeline.design.describe()}.",
        "# Written by 'dasktune export-makefile'; write it again when the pipeline changes.",
        f"NODE := {shlex.join(command).replace('$', '$$')}",
        f"D := {root}",
        "",
        ".PHONY: all preprocessed trained collated",
        "all: collated",
        f"preprocessed: $D/{names['preprocessed']}",
        f"collated: $D/{names['collated']}",
        "",
        "TRAINED := \\",
        *(f"  $D/{names[name]} \\" for name in trials),
        "",
        "trained: $(TRAINED)",
        "",
        f"$D/{names['collated']}: $(TRAINED)",
        "\t$(NODE) collated --link $@",
        "",
    ]
    for name in trials:
        lines += [
            f"$D/{names[name]}: $D/{names['preprocessed']}",
            f"\t$(NODE) '{name}' --link $@",
        ]
    lines += ["", f"$D/{names['preprocessed']}:", "\t$(NODE) preprocessed --link $@", ""]
    return "\n".join(lines)


def run_node(sweep: Sweep, target: str, path: str) -> Summary:
    """Make one target for GNU make, in this process and without Dask, and link it.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    target : str
        The target, whose prerequisites make has made.
    path : str
        The link to write.
    """
    summary = make(sweep, Request(goals=(target,)), Options(cluster="none"))
    outcome = summary.outcomes.get(target) or summary.plan.targets[target].outcome
    if outcome is not None and outcome.status == "ok":
        folder = _folder(sweep, target, outcome.key)
        os.utime(f"{folder}/.stamp")  # newer than its prerequisites, as make expects
        link(sweep, os.path.relpath(path, sweep.store.root), folder)
    elif outcome is None:
        raise UsageError(f"the prerequisites of {target} are not made; run make on the whole.")
    return summary


def link(sweep: Sweep, name: str, folder: str) -> None:
    """Point a target's link at its stamp."""
    path = f"{sweep.store.root}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    link_atomically(path, os.path.relpath(f"{folder}/.stamp", os.path.dirname(path)))


def _folder(sweep: Sweep, target: str, found: str) -> str:
    if target.startswith("trained/"):
        return sweep.store.trained(target.removeprefix("trained/"), found)
    if target == "collated":
        return sweep.store.collated(found)
    return sweep.store.preprocessed(found)
