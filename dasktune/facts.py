"""Facts: what a reader of the dataset wants to know of the sweep that made it."""

from __future__ import annotations

import ast
import dataclasses
import os
from typing import Any

from dasktune.config import Value
from dasktune.domain import Domain
from dasktune.pipeline import Pipeline
from dasktune.source import Sources
from dasktune.wording import in_words


def facts_of(pipeline: Pipeline, sources: Sources) -> dict[str, Any]:
    """Collect the facts of a sweep, as a JSON-able mapping.

    Parameters
    ----------
    pipeline : Pipeline
        With what the command line overrides.
    sources : Sources
        The code that it was loaded from.

    Returns
    -------
    dict
        ``about`` (what the pipeline file says of itself), ``file``, ``design``, ``space`` (a
        domain a hyperparameter, with the word for it under ``text``) and ``variables``.
    """
    variables: dict[str, Value] = {
        **pipeline.variables["preprocess"],
        **pipeline.variables["train"],
    }
    return {
        "about": about(sources),
        "file": os.path.basename(sources.modules[sources.main]["file"]),
        "design": pipeline.describe(),
        "space": {name: _domain(domain) for name, domain in pipeline.space.domains.items()},
        "variables": variables,
    }


def about(sources: Sources) -> str:
    """Give the first paragraph of the pipeline file's docstring, in one line."""
    try:
        text = ast.get_docstring(ast.parse(sources.modules[sources.main]["source"])) or ""
    except SyntaxError:
        return ""
    return " ".join(text.split("\n\n")[0].split())


def _domain(domain: Domain) -> dict[str, Any]:
    fields = {
        k: v for k, v in dataclasses.asdict(domain).items() if k not in ("conditions", "neutral")
    }
    return {"domain": type(domain).__name__, **fields, "text": in_words(domain)}
