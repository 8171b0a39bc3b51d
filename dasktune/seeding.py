"""Seeds and threads: what must be equal for two runs of a trial to be equal."""

from __future__ import annotations

import contextlib
import functools
import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global random number generators.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**32.
    """
    import torch

    random.seed(seed)
    np.random.seed(seed)
    if _accelerated():
        torch.manual_seed(seed)
    else:
        # What torch.manual_seed does on a CPU. That also remembers the seed, with a traceback,
        # for each kind of device that might still turn up: 0.4 ms and some kilobytes a trial.
        torch.default_generator.manual_seed(seed)


@functools.cache
def _accelerated() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available() or _has_xpu()


def _has_xpu() -> bool:
    import torch

    return hasattr(torch, "xpu") and torch.xpu.is_available()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, and put them back afterwards.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**32.
    """
    import torch

    states = (random.getstate(), np.random.get_state())
    with torch.random.fork_rng():
        seed_everything(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Give the numerical libraries a fixed number of threads.

    The order in which threads add numbers up changes the last bits of a sum, so that a trial
    has the same result only with the same number of threads.

    Parameters
    ----------
    count : int
        Threads for torch, OpenMP and BLAS together, at least 1.
    """
    import torch

    before = torch.get_num_threads()
    with _libraries(len(sys.modules)).limit(limits=count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """Find the numerical libraries of this process, anew when more `modules` are loaded.

    It takes 2 ms, since the process's memory map is read.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
