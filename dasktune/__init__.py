"""Make for hyperparameter sweeps, on Dask.

Names are loaded when they are first used, so that ``import dasktune`` brings in neither torch
nor Dask.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dasktune.config import Config, TrialSpec
    from dasktune.data import Data
    from dasktune.design import Design
    from dasktune.domain import choice, constant
    from dasktune.errors import DasktuneError
    from dasktune.interval import integers, log_uniform, uniform
    from dasktune.kept import load_model
    from dasktune.pipeline import Pipeline
    from dasktune.plan import Plan, Request
    from dasktune.pytorch.recipe import TorchRecipe
    from dasktune.ranking import best, leaderboard
    from dasktune.reading.accessor import Results, open
    from dasktune.regions import union
    from dasktune.replicate import folds, replicates
    from dasktune.results import open_results, to_grid
    from dasktune.run import Options
    from dasktune.search.asha import ASHA
    from dasktune.search.halving import SuccessiveHalving
    from dasktune.search.hyperband import Hyperband
    from dasktune.search.median import MedianStopping
    from dasktune.search.optuna import Optuna
    from dasktune.search.patience import Patience
    from dasktune.search.population import PBT
    from dasktune.search.racing import Race
    from dasktune.search.replicating import ReplicateBest
    from dasktune.searchcv import SearchCV
    from dasktune.searching import make
    from dasktune.sklearn.recipe import SklearnRecipe
    from dasktune.space import Space
    from dasktune.summary import Summary
    from dasktune.sweep import Sweep
    from dasktune.trial import Trial

__version__ = "0.1.0"

_HOMES = {
    "ASHA": "search.asha",
    "Config": "config",
    "DasktuneError": "errors",
    "Data": "data",
    "Design": "design",
    "Hyperband": "search.hyperband",
    "Options": "run",
    "MedianStopping": "search.median",
    "Optuna": "search.optuna",
    "PBT": "search.population",
    "Patience": "search.patience",
    "Pipeline": "pipeline",
    "Plan": "plan",
    "ReplicateBest": "search.replicating",
    "Race": "search.racing",
    "Request": "plan",
    "Results": "reading.accessor",
    "SearchCV": "searchcv",
    "SklearnRecipe": "sklearn.recipe",
    "Space": "space",
    "SuccessiveHalving": "search.halving",
    "Summary": "summary",
    "Sweep": "sweep",
    "TorchRecipe": "pytorch.recipe",
    "Trial": "trial",
    "TrialSpec": "config",
    "best": "ranking",
    "choice": "domain",
    "constant": "domain",
    "folds": "replicate",
    "integers": "interval",
    "leaderboard": "ranking",
    "load_model": "kept",
    "log_uniform": "interval",
    "make": "searching",
    "open": "reading.accessor",
    "open_results": "results",
    "replicates": "replicate",
    "to_grid": "results",
    "uniform": "interval",
    "union": "regions",
}

__all__ = [
    "ASHA",
    "PBT",
    "Config",
    "DasktuneError",
    "Data",
    "Design",
    "Hyperband",
    "MedianStopping",
    "Options",
    "Optuna",
    "Patience",
    "Pipeline",
    "Plan",
    "Race",
    "ReplicateBest",
    "Request",
    "Results",
    "SearchCV",
    "SklearnRecipe",
    "Space",
    "SuccessiveHalving",
    "Summary",
    "Sweep",
    "TorchRecipe",
    "Trial",
    "TrialSpec",
    "best",
    "choice",
    "constant",
    "folds",
    "integers",
    "leaderboard",
    "load_model",
    "log_uniform",
    "make",
    "open",
    "open_results",
    "replicates",
    "to_grid",
    "uniform",
    "union",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dasktune' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dasktune.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
