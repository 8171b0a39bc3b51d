"""Tracing: what a function computes, recorded once and run again without its Python.

`torch.func` takes half a millisecond a call to transform a function, however small its tensors
are: with small networks as long as the computation itself. The trace holds the same operations
in the same order, so it gives the same bits; and unlike `torch.compile` it is made in a fraction
of a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from dasktune.errors import DasktuneError

WORTH = 64
"""Calls of one shape before a trace is made: it then costs what it will have saved by as many."""


class TraceDiffers(DasktuneError):
    """A function does not compute what its trace does any more."""


class Traced:
    """Runs a function by its traces, one for each shape; as it is where that cannot be.

    A trace knows nothing of what the function does in Python. So the function is called beside
    it when it is new, and then at the second, fourth, eighth … multiple of that many calls.

    Parameters
    ----------
    function : callable
        Takes tensors, and trees of them, and gives such; it changes none of them.
    worth : int
        Calls of one shape before it is traced.

    Attributes
    ----------
    obstacle : str
        Why the function runs as it is; empty while it is traced.
    """

    def __init__(self, function: Callable[..., Any], worth: int) -> None:
        self._function = function
        self._worth = worth
        self._calls: Counter[Hashable] = Counter()
        self._traces: dict[Hashable, Callable[..., Any]] = {}
        self.obstacle = ""

    def __call__(self, mode: Hashable, *arguments: Any) -> Any:
        """Compute what the function does.

        Parameters
        ----------
        mode : hashable
            What else it depends on than its arguments, such as the modules' mode.
        *arguments : torch.Tensor or tree of them
            What it takes.

        Raises
        ------
        TraceDiffers
            If it does something else by now than when it was traced.
        """
        if self.obstacle:
            return self._function(*arguments)
        shapes = [(t.shape, t.dtype) for t in pytree.tree_leaves(arguments)]
        key = (mode, *shapes)
        self._calls[key] += 1
        rounds, rest = divmod(self._calls[key], self._worth)
        if not rounds:
            return self._function(*arguments)
        if key not in self._traces:
            return self._begin(key, arguments)
        if not rest and not rounds & (rounds - 1):
            found, expected = self._both(self._traces[key], arguments)
            if not _same(found, expected):
                raise TraceDiffers(
                    "a fused step depends on more than the weights and the batch: its trace gave "
                    "another result than the model itself. Keep Python's state (counters, "
                    "random numbers of Python or NumPy) out of forward(), or use --fuse off."
                )
            return expected
        return self._traces[key](*arguments)

    def _begin(self, key: Hashable, arguments: tuple[Any, ...]) -> Any:
        """Make a trace, and take it if it gives the same bits."""
        try:
            trace = _trace(self._function, arguments)
            found, expected = self._both(trace, arguments)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            text = (str(error).strip().splitlines() or [""])[0]
            self.obstacle = f"it cannot be traced ({type(error).__name__}: {text[:160]})"
            return self._function(*arguments)
        if _same(found, expected):
            self._traces[key] = trace
        else:
            self.obstacle = "its trace gives another result"
        return expected

    def _both(self, trace: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        """Run the trace and the function with the same random numbers."""
        with torch.random.fork_rng(devices=[]):
            found = trace(*arguments)
        return found, self._function(*arguments)


def _trace(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    from torch.fx.experimental.proxy_tensor import make_fx

    with torch.random.fork_rng(devices=[]):  # tracing runs it
        module = make_fx(function)(*arguments)
    forward: Callable[..., Any] = module.forward
    return forward


def _same(one: Any, other: Any) -> bool:
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs)
