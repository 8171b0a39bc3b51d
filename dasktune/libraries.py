"""The libraries that trials need and that take long to import."""

from __future__ import annotations

import contextlib
import importlib

LIBRARIES = ("torch", "xarray", "zarr", "safetensors.torch", "threadpoolctl", "torch._dynamo")
"""In the order of their first use; torch._dynamo comes with the first optimizer."""


def load() -> None:
    """Import them ahead of their use. What fails here is told where it is needed."""
    for name in LIBRARIES:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
