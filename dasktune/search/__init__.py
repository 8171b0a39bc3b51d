"""Strategies: which configs are trained, and for how long. Pure: no Dask, no torch, no files."""

from dasktune.search.asha import ASHA
from dasktune.search.halving import SuccessiveHalving
from dasktune.search.hyperband import Hyperband
from dasktune.search.median import MedianStopping
from dasktune.search.optuna import Optuna
from dasktune.search.patience import Patience
from dasktune.search.population import PBT
from dasktune.search.racing import Race
from dasktune.search.replicating import ReplicateBest
from dasktune.search.strategy import Ask, Rung, Search, Strategy

__all__ = [
    "ASHA",
    "PBT",
    "Ask",
    "Hyperband",
    "MedianStopping",
    "Optuna",
    "Patience",
    "Race",
    "ReplicateBest",
    "Rung",
    "Search",
    "Strategy",
    "SuccessiveHalving",
]
