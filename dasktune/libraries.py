"""The libraries that trials need and that take long to import."""

from __future__ import annotations

import contextlib
import gc
import importlib
import threading
from collections.abc import Iterator, Sequence

TRAINING = (
    *("torch", "xarray", "dask.array", "zarr"),
    *("safetensors.torch", "threadpoolctl", "torch._dynamo"),
)
"""In the order of their first use; xarray asks for dask.array with its first variable, and
torch._dynamo comes with the first optimizer."""

READING = ("pandas", "xarray", "dask.array", "zarr", "scipy.special")
"""What the results are read with when all is over."""


def load(names: Sequence[str] = TRAINING) -> None:
    """Import them ahead of their use. What fails here is told where it is needed."""
    with uncollected():
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def load_ahead(names: Sequence[str] = TRAINING) -> None:
    """Import them beside what is done now."""
    threading.Thread(target=load, args=(names,), name="dasktune imports", daemon=True).start()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python's garbage collector out of what makes many things that stay, as an import does.

    It would look through all of them again and again: a quarter of the time that torch and what
    comes with it take.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
