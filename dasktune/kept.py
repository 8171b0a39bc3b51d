"""Kept models: a trial's module, built again and filled with its weights."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dasktune.config import Config
from dasktune.data import Data
from dasktune.errors import DasktuneError, StampError, StoreError, UsageError
from dasktune.model import CARD_FILE, EPOCHS_FILE, FILE
from dasktune.outcome import Outcome
from dasktune.recipe import pipeline_of
from dasktune.seeding import seeded
from dasktune.store import Store

if TYPE_CHECKING:
    import torch


def load_model(
    trial: Any,
    store: str | os.PathLike[str] | None = None,
    *,
    epoch: int | None = None,
    into: torch.nn.Module | None = None,
) -> torch.nn.Module:
    """Give a trial's module with the weights that it kept, ready for use.

    Parameters
    ----------
    trial : path, Best, or xarray.Dataset
        The trial's folder, ``dist/<pipeline>/trained/<trial>-<key>``; or what `best` found; or
        one row of a collated dataset (``results.isel(trial=0)``).
    store : path, optional
        ``dist/<pipeline>``, where `trial` is no folder.
    epoch : int, optional
        The weights after this epoch, from 0, or from the last if negative; for trials that
        were trained with ``keep="all"``.
    into : torch.nn.Module, optional
        A module to fill, where none can be built: a train function of your own does not say
        how it makes its model.

    Returns
    -------
    torch.nn.Module
        On the CPU, in evaluation mode.

    Raises
    ------
    StoreError
        If the trial kept no model, or its files are damaged or do not fit.
    UsageError
        If it cannot be told which trial is meant, or how its module is built.

    Notes
    -----
    The module is built by the code that the trial was trained with, which the store holds, and
    not by what is in the pipeline file now. Load models only from a store whose code you trust.
    """
    folder = _folder(trial, store)
    card = _card(folder)
    module = into if into is not None else _build(folder, card)
    _fill(module, folder, epoch)
    return module.eval()


def _folder(trial: Any, store: str | os.PathLike[str] | None) -> str:
    if isinstance(trial, (str, os.PathLike)):
        folder = os.fspath(trial)
        if store is not None and not os.path.isabs(folder) and not os.path.isdir(folder):
            folder = os.path.join(store, "trained", folder)
        return os.path.abspath(folder)
    try:
        words = [_plain(trial.trial), _plain(trial.key)]
    except (AttributeError, ValueError):
        raise UsageError(
            "a trial is named by its folder, by what best() found, or by one row of a dataset, "
            f"but got {trial!r}."
        ) from None
    if store is None:
        raise UsageError(
            f"the store of the trial {words[0]} must be named. "
            "Write load_model(trial, 'dist/<pipeline>')."
        )
    return Store(os.path.abspath(store)).trained(*words)


def _plain(value: Any) -> str:
    return str(value.item() if hasattr(value, "item") else value)


def _card(folder: str) -> dict[str, Any]:
    try:
        with open(f"{folder}/{CARD_FILE}", encoding="utf-8") as file:
            card: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        why = "kept no model" if os.path.exists(f"{folder}/.stamp") else "is no trained trial"
        raise StoreError(
            f"{folder} {why}. Give back a module from train(), or let the recipe keep one."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder}/{CARD_FILE} cannot be read: {error}.") from error
    return card


def _build(folder: str, card: dict[str, Any]) -> torch.nn.Module:
    store = Store(os.path.dirname(os.path.dirname(folder)))
    if not card["builder"]:
        raise UsageError(
            "this model was trained by a function of your own, which does not say how it is "
            "built. Build it yourself: load_model(trial, into=Net(...))."
        )
    with _own_modules():
        pipeline = pipeline_of(store, card["sources"])
        with seeded(card["seed"]):
            model = pipeline.train.model(  # type: ignore[attr-defined]
                Config(_tuples(card["config"])), _data(store, card["data"])
            )
    module: torch.nn.Module = model
    return module


def _data(store: Store, key: str) -> Data:
    """Open the data that the model was trained on, or what refuses if it is gone."""
    from dasktune.job import open_splits

    try:
        return open_splits(store, Outcome("preprocessed", key))
    except DasktuneError:
        return Data(f"{store.preprocessed(key)}/data.zarr", ())


def _tuples(tree: Any) -> Any:
    """Give back the tuples that JSON wrote as lists."""
    if isinstance(tree, dict):
        return {name: _tuples(value) for name, value in tree.items()}
    return tuple(map(_tuples, tree)) if isinstance(tree, list) else tree


@contextlib.contextmanager
def _own_modules() -> Iterator[None]:
    """Let modules that are loaded already stay what they are, whatever the store's code loads."""
    before, finders = dict(sys.modules), list(sys.meta_path)
    try:
        yield
    finally:
        for name, module in before.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                sys.meta_path[:] = finders


def _fill(module: torch.nn.Module, folder: str, epoch: int | None) -> None:
    from safetensors import SafetensorError

    try:
        if epoch is None:
            from safetensors.torch import load_model as load_weights

            load_weights(module, f"{folder}/{FILE}")
        else:
            module.load_state_dict(_state(folder, epoch))
    except FileNotFoundError:
        missing = FILE if epoch is None else f"{EPOCHS_FILE}; it holds each epoch with keep='all'"
        raise StoreError(f"{folder} has no {missing}.") from None
    except (RuntimeError, SafetensorError, OSError) as error:
        text = " ".join(str(error).split())
        raise StampError(f"the weights in {folder} do not fit the module: {text[:300]}") from error


def _state(folder: str, epoch: int) -> dict[str, torch.Tensor]:
    from safetensors import safe_open

    with safe_open(f"{folder}/{EPOCHS_FILE}", "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        count = min((part.get_shape()[0] for part in slices.values()), default=0)
        if not -count <= epoch < count:
            raise UsageError(f"the trial has {count} epochs, but epoch {epoch} was asked for.")
        return {name: part[epoch % count] for name, part in slices.items()}
