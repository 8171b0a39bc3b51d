"""Steps that are recorded and replayed: as if each were taken.

A recording stands in for the device's where there is none; what is recorded, restored and fed
into the graph is the same.
"""

from __future__ import annotations

import pytest
import torch

from dasktune.pytorch import cudagraph
from dasktune.pytorch.cudagraph import Recorder
from dasktune.pytorch.fused import Lanes
from dasktune.pytorch.member import Member
from dasktune.pytorch.options import TorchOptions
from dasktune.pytorch.problem import Problem

OPTIONS = [
    TorchOptions(batch_size=16, lr=0.003 * (i + 1), weight_decay=0.01, clip=1.0) for i in range(3)
]


def stand_in(run):
    """Record as a device does: warm up, then launch the same work on the same tensors."""
    for _ in range(3):
        run()
    output = run().clone()

    def replay():
        return output.copy_(run())

    return replay


def lanes(device="cpu", options=OPTIONS) -> Lanes:
    """Give lanes of small networks with batch norm."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(72, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    x, y = x.to(device), y.to(device)
    members = []
    for number, option in enumerate(options):
        torch.manual_seed(number)
        layers = [torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 2)]
        members.append(Member(torch.nn.Sequential(*layers), option, number))
    return Lanes(members, Problem(x, y, x[:20], y[:20], "cross_entropy", {}))


def record_by(made: Lanes) -> Lanes:
    """Let lanes on the CPU step by a recorder."""
    made.recorder = Recorder(made._step, made.snapshot)
    return made


def assert_same(one: Lanes, other: Lanes, rtol=0.0) -> None:
    """Compare all that training changes."""
    for a, b in zip(one._state(), other._state(), strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    assert [m.steps for m in one.members] == [m.steps for m in other.members]


def test_replayed_steps_are_the_steps(monkeypatch):
    """Each with its own batch and learning rates; full batches and the last, smaller one."""
    monkeypatch.setattr(cudagraph, "record", stand_in)
    plain, recorded = lanes(), record_by(lanes())
    for epoch in range(3):
        assert recorded.epoch([epoch] * 3) == plain.epoch([epoch] * 3)
    assert_same(plain, recorded)
    assert len(recorded.recorder._replays) == 2  # 16 samples, and the 8 that are left
    assert recorded.recorder.obstacle == ""


def test_what_cannot_be_recorded_runs_as_it_is_and_says_so(monkeypatch):
    """The steps of the warm-up are undone."""

    def refuse(run):
        run()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(cudagraph, "record", refuse)
    plain, recorded = lanes(), record_by(lanes())
    assert recorded.epoch([0] * 3) == plain.epoch([0] * 3)
    assert_same(plain, recorded)
    assert "RuntimeError: operation not permitted" in recorded.recorder.obstacle


def test_memory_that_runs_out_while_recording_is_not_hidden(monkeypatch):
    """So that the group is halved; and the weights are as before."""

    def refuse(run):
        run()
        raise torch.OutOfMemoryError("told to")

    monkeypatch.setattr(cudagraph, "record", refuse)
    recorded = record_by(lanes())
    with pytest.raises(torch.OutOfMemoryError):
        recorded.epoch([0] * 3)
    assert_same(lanes(), recorded)


@pytest.mark.gpu
@pytest.mark.parametrize("more", [{}, {"amp": True}, {"optimizer": "sgd", "momentum": 0.9}])
def test_on_a_gpu_recorded_steps_equal_launched_ones(more):
    """The real graph."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    options = [TorchOptions(**{**vars(option), **more}) for option in OPTIONS]
    recorded = lanes("cuda", options)
    plain = lanes("cuda", [TorchOptions(**{**vars(o), "graphs": False}) for o in options])
    assert plain.recorder is None
    for epoch in range(3):
        recorded.epoch([epoch] * 3)
        plain.epoch([epoch] * 3)
    assert recorded.recorder.obstacle == ""
    assert_same(plain, recorded, 1e-3 if more.get("amp") else 1e-5)
