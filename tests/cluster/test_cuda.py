"""Workers with GPUs of their own, as far as that goes with devices that are not there."""

from __future__ import annotations

import pytest

from dasktune.cluster.cuda import Seat, seats, visible_devices
from dasktune.errors import ClusterError


def test_devices_are_shared_out():
    """Whole, in fractions, several for a trial; few workers are spread over all devices."""
    assert seats(["0", "2"], 1, None) == [Seat("gpu0", "0", 1.0), Seat("gpu2", "2", 1.0)]
    halves = seats(["0", "1"], 0.5, None)
    assert [(seat.devices, seat.gpus) for seat in halves] == [
        ("0", 0.5),
        ("1", 0.5),
        ("0", 0.5),
        ("1", 0.5),
    ]
    assert [seat.devices for seat in seats(["0", "1"], 0.25, 2)] == ["0", "1"]
    assert len(seats(["0"], 1 / 3, None)) == 3
    assert seats(["0", "1", "2"], 2, None) == [Seat("gpu0+1", "0,1", 2.0)]
    with pytest.raises(ClusterError, match=r"a trial needs 2 GPUs, but this machine gives 1 \(0\)"):
        seats(["0"], 2, None)


def test_without_a_gpu_it_says_so(monkeypatch):
    """And what to use instead."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ClusterError, match=r"no GPU is visible here.*--cluster local"):
        visible_devices()


def test_each_trial_sees_exactly_its_own_device(project, monkeypatch):
    """Two devices, two trials on each; every worker is a process of its own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    project.edit(
        'note("train " + trial.id)',
        "note(f\"saw {os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}\"); time.sleep(1)",
    )
    project.edit('objective="max score")', 'objective="max score", resources={"GPU": 0.5})')
    result = project.cli("make", "--cluster", "cuda", "-O", "gpus=3,7")
    assert result.code == 0, result.err
    saw = [word.split() for word in project.ran() if word.startswith("saw")]
    assert {words[1] for words in saw} == {"3", "7"}
    assert len({words[2] for words in saw}) > 2
    names = {str(name) for name in project.dataset().worker.values}
    assert names <= {"gpu3-0", "gpu7-0", "gpu3-1", "gpu7-1"}
