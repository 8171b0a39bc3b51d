"""Seeds and threads: what must be equal for two runs of a trial to be equal."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np


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
    torch.manual_seed(seed)


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
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(limits=count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
