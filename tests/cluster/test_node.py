"""The program that a queue's job runs: which of its GPUs each of its workers gets."""

from __future__ import annotations

import pytest

from dasktune.cluster.node import Place, places
from dasktune.errors import ClusterError


def seen(found):
    """List the devices and the offers of each worker."""
    return [(p.environment["CUDA_VISIBLE_DEVICES"], p.resources["GPU"]) for p in found]


def test_each_worker_is_pinned_to_gpus_of_its_own(monkeypatch):
    """Those that the queue gave to the job, under the queue's names."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5,7")
    assert seen(places(4, 4, 1)) == [("2", 1), ("3", 1), ("5", 1), ("7", 1)]
    assert seen(places(2, 4, 2)) == [("2,3", 2), ("5,7", 2)]
    assert seen(places(8, 4, 0.5))[3:6] == [("7", 0.5), ("2", 0.5), ("3", 0.5)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa,GPU-bbbb")
    assert seen(places(2, 2, 1)) == [("GPU-aaaa", 1), ("GPU-bbbb", 1)]


def test_a_job_with_one_worker_or_without_gpus_is_left_as_it_is():
    """Its worker has all that the job has."""
    assert places(1, 0, 1) == [Place()]
    assert places(3, 0, 1) == [Place()] * 3


def test_a_node_that_shows_fewer_gpus_than_were_asked_for_is_an_error(monkeypatch):
    """The job ends at once, with that word in its log."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with pytest.raises(ClusterError, match=r"2 workers need 2 GPUs, .* this node shows 1 \(4\)"):
        places(2, 2, 1)


@pytest.mark.parametrize("nothing", ["", "-1", "NoDevFiles"])
def test_a_node_that_hides_its_gpus_is_an_error_as_well(monkeypatch, nothing):
    """None is made up: trials would train on processors, or on GPUs of others."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
    words = rf"2 workers need 2 GPUs, .* shows 0 \(CUDA_VISIBLE_DEVICES is '{nothing}'\)"
    with pytest.raises(ClusterError, match=words):
        places(2, 2, 1)
