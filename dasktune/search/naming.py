"""Strategies by name, as the command line says them; also those that others have installed."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points

from dasktune.errors import UsageError, did_you_mean
from dasktune.search.asha import ASHA
from dasktune.search.halving import SuccessiveHalving
from dasktune.search.hyperband import Hyperband
from dasktune.search.median import MedianStopping
from dasktune.search.optuna import Optuna
from dasktune.search.patience import Patience
from dasktune.search.population import PBT
from dasktune.search.racing import Race
from dasktune.search.strategy import Strategy

GROUP = "dasktune.search"
"""The group of entry points under which a package offers its strategies."""

BUILT_IN: tuple[type[Strategy], ...] = (
    ASHA,
    Hyperband,
    MedianStopping,
    Optuna,
    PBT,
    Patience,
    Race,
    SuccessiveHalving,
)


def strategy_of(text: str) -> Strategy | None:
    """Read a strategy as it is written in Python, such as ``"Hyperband(max_epochs=27)"``.

    Parameters
    ----------
    text : str
        A name, in any case, and its arguments, which are plain values; or ``"none"``.

    Returns
    -------
    Strategy or None
        None for ``"none"``.

    Raises
    ------
    UsageError
        If there is no such strategy, or it does not take the arguments.
    """
    if text.lower() == "none":
        return None
    form = "--search takes a strategy such as hyperband or 'Hyperband(max_epochs=27, eta=3)'"
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last: too deep
        tree = None
    call = tree if isinstance(tree, ast.Call) else None
    name = call.func if call is not None else tree
    if not isinstance(name, ast.Name):
        raise UsageError(f"{form}, but got {text!r}.")
    kind = _kind(name.id)
    if call is None:
        return _made(kind, (), {}, text)
    try:
        positional = tuple(ast.literal_eval(value) for value in call.args)
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (ValueError, TypeError):
        raise UsageError(f"{form}, with plain values, but got {text!r}.") from None
    if len(named) < len(call.keywords) or "None" in named:
        raise UsageError(f"{form}, each argument once and by name, but got {text!r}.")
    return _made(kind, positional, named, text)


def _made(
    kind: type[Strategy], positional: tuple[object, ...], named: dict[str, object], text: str
) -> Strategy:
    try:
        return kind(*positional, **named)
    except TypeError as error:
        words = str(error).replace(f"{kind.__name__}.__init__()", kind.__name__)
        raise UsageError(f"--search {text}: {words}.") from None


def _kind(name: str) -> type[Strategy]:
    known: dict[str, type[Strategy]] = {kind.__name__.lower(): kind for kind in BUILT_IN}
    if name.lower() in known:
        return known[name.lower()]
    others = {point.name.lower(): point for point in entry_points(group=GROUP)}
    if name.lower() in others:
        kind = others[name.lower()].load()
        if isinstance(kind, type) and issubclass(kind, Strategy):
            return kind
        raise UsageError(f"the entry point {name!r} of {GROUP} is no Strategy, but {kind!r}.")
    names = [kind.__name__ for kind in BUILT_IN] + sorted(others)
    raise UsageError(f"no strategy {name!r}." + did_you_mean(name, names))
