"""Seeds and threads, and the log of a trial."""

from __future__ import annotations

import logging
import random
import sys
import warnings

import numpy as np
import torch
from threadpoolctl import threadpool_info

from dasktune.capture import capture
from dasktune.seeding import seed_everything, threads


def test_seeding_is_what_each_librarys_own_seed_would_do():
    """Python's, NumPy's and torch's global generators."""
    seed_everything(7)
    found = random.random(), np.random.random(), torch.rand(3).tolist(), torch.initial_seed()
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    assert found == (random.random(), np.random.random(), torch.rand(3).tolist(), 7)


def test_threads_are_limited_inside_and_restored_behind():
    """In torch, and in each library that is loaded."""
    before = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    with threads(1):
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert before == (torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()])


def test_a_log_comes_with_the_first_word(tmp_path):
    """Print, logging and warnings end up in it; silence leaves no file."""
    path = tmp_path / "log.txt"
    with capture(str(path)):
        assert not sys.stdout.isatty()
        sys.stdout.flush()
    assert not path.exists()
    with capture(str(path)):
        print("printed")
        assert path.read_text() == "printed\n"
        logging.getLogger("x").warning("logged")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("warned")
        assert sys.stdout.encoding == "utf-8"
    text = path.read_text()
    assert "logged" in text
    assert "warned" in text
