"""Fused training: equal to the loop, whoever comes, leaves, or runs out of memory."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from dasktune.config import Config, TrialSpec
from dasktune.pytorch.fused import Lanes
from dasktune.pytorch.loop import train_alone
from dasktune.pytorch.member import Member
from dasktune.pytorch.options import TorchOptions
from dasktune.pytorch.problem import Problem
from dasktune.pytorch.together import Seat, train_together
from dasktune.seeding import seed_everything
from dasktune.trial import Interrupted, Trial


def problem(dtype=torch.float64, count=53, loss="cross_entropy", **more) -> Problem:
    """Give a small task of two classes, or of one number."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count + 31, 6, dtype=torch.float64, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long() if loss == "cross_entropy" else x[:, :2].sin().to(dtype)
    x = x.to(dtype)
    return Problem(x[:count], y[:count], x[count:], y[count:], loss, more)


def dense(dtype):
    """Give a plain network."""
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)).to(dtype)


def normed(dtype):
    """Give a network with batch norm, and a layer that is not trained.

    A bias before batch norm has no effect: its gradient is nothing but rounding, which Adam in
    single precision blows up to whole steps. So there is none.
    """
    first = nn.Linear(6, 9, bias=False)
    model = nn.Sequential(first, nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 2)).to(dtype)
    model[0].weight.requires_grad_(False)
    return model


def convolved(dtype):
    """Give a small convolutional network."""
    layers = [nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(12, 2)).to(dtype)


class Tied(nn.Module):
    """A network that uses one matrix twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        """Apply it."""
        return self.second(torch.tanh(self.first(x)))[:, :2]


def tied(dtype):
    """Give a network with tied weights."""
    return Tied().to(dtype)


def trial(number: int, folder: str = "", **how) -> Trial:
    """Give a trial that only its number distinguishes."""
    spec = TrialSpec(Config({"number": number}))
    return Trial(spec, checkpoint_folder=folder and f"{folder}/{number}", **how)


def built(make, dtype, one: Trial) -> nn.Module:
    """Give a trial's model, with its initial weights."""
    seed_everything(one.seed)
    return make(dtype)


def alone(make, options, task, folder=""):
    """Train each by the loop; give curves and weights by number."""
    ends = {}
    for number, option in enumerate(options):
        one = trial(number, folder)
        model = train_alone(one, built(make, task.x.dtype, one), option, task)
        ends[number] = (one.curve.to_json(), model)
    return ends


def fused(make, options, task, folder="", width=None, **how):
    """Train them together; give what `alone` gives, and how it was done."""
    seats = []
    for number, option in enumerate(options):
        one = trial(number, folder, **how)
        seats.append(Seat(one, Member(built(make, task.x.dtype, one), option, one.seed)))
    ends = list(train_together(seats, task, width=width or len(seats)))
    assert not [end.alone for end in ends if end.alone]
    return {end.trial.config.number: (end.trial.curve.to_json(), end.model) for end in ends}, ends


def assert_equal(one, other, rtol):
    """Compare curves and weights."""
    assert one.keys() == other.keys()
    for number, (curve, model) in one.items():
        curve2, model2 = other[number]
        assert curve["epochs"] == curve2["epochs"]
        assert curve["columns"].keys() == curve2["columns"].keys()
        for name, column in curve["columns"].items():
            a, b = (np.array([float(v) for v in c]) for c in (column, curve2["columns"][name]))
            if name == "val_accuracy":  # one sample on the edge may fall to the other side
                np.testing.assert_allclose(a, b, atol=rtol * 1e4 if rtol > 1e-6 else 0)
            else:
                np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
        if model is None:
            assert model2 is None
            continue
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, model2.state_dict()[name], rtol=rtol, atol=rtol)


@st.composite
def sweeps(draw):
    """Draw options of several trials that may share a step."""
    optimizer = draw(st.sampled_from(["sgd", "adam", "adamw"]))
    batch = draw(st.integers(5, 60))
    keep = draw(st.sampled_from(["last", "best", "none"]))
    options = []
    for _ in range(draw(st.integers(2, 5))):
        momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
        options.append(
            TorchOptions(
                epochs=draw(st.integers(1, 5)),
                batch_size=batch,
                optimizer=optimizer,
                keep=keep,
                lr=draw(st.floats(1e-4, 0.05)),
                weight_decay=draw(st.sampled_from([0.0, 1e-3, 0.1])),
                momentum=momentum,
                nesterov=bool(momentum) and draw(st.booleans()),
                beta1=draw(st.sampled_from([0.8, 0.9])),
                beta2=draw(st.sampled_from([0.99, 0.999])),
                schedule=draw(st.sampled_from(["constant", "step", "cosine", "one_cycle"])),
                warmup=draw(st.integers(0, 2)),
                step_size=draw(st.integers(1, 3)),
                clip=draw(st.sampled_from([0.0, 0.1, 1.0])),
                label_smoothing=draw(st.sampled_from([0.0, 0.1])),
                patience=draw(st.integers(0, 2)),
            )
        )
    return options


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sweeps(),
    st.sampled_from([dense, normed, convolved, tied]),
    st.sampled_from([torch.float64, torch.float32]),
    st.integers(10, 53),
    st.integers(2, 5),
    st.sampled_from([1, 3, 64]),
)
def test_fused_training_equals_the_loop(options, make, dtype, count, width, worth):
    """Curves and weights, for every optimizer, schedule and size; tight in float64.

    Traced at once, after some steps, or not at all.
    """
    task = problem(dtype, count)
    rtol = 1e-9 if dtype == torch.float64 else 2e-3
    if make is normed and count % options[0].batch_size == 1:
        return  # batch norm refuses a batch of one sample, in the loop as well
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dasktune.pytorch.fused.WORTH", worth)
        made, _ = fused(make, options, task, width=width)
    assert_equal(alone(make, options, task), made, rtol)


OPTIONS = [TorchOptions(epochs=6, batch_size=16, lr=0.003 * (i + 1)) for i in range(4)]


def test_a_trial_that_diverges_leaves_without_touching_its_neighbours():
    """Its curve ends with a loss that is not finite; the others are as the loop has them."""
    task = problem(loss="mse_loss")
    options = [TorchOptions(epochs=8, optimizer="sgd", lr=lr) for lr in (0.1, 1e200, 0.01)]
    made, ends = fused(dense, options, task)
    assert made[1][0]["epochs"] < 8
    assert ends[0].trial.config.number == 1
    assert not np.isfinite(float(made[1][0]["columns"]["train_loss"][-1]))
    expected = alone(dense, options, task)
    assert made[1][0]["epochs"] == expected[1][0]["epochs"]
    for number in (0, 2):
        assert_equal({number: expected[number]}, {number: made[number]}, 1e-9)


@pytest.mark.parametrize("first_fused", [True, False])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_left_at_a_checkpoint_it_goes_on_in_either_way(tmp_path, first_fused, keep, monkeypatch):
    """What was begun together is finished by the loop, and the other way round."""
    monkeypatch.setattr("dasktune.trial._LOOK_EVERY", 0.0)
    task = problem()
    kind = {"optimizer": "sgd", "momentum": 0.9, "keep": keep}
    options = [TorchOptions(epochs=6, batch_size=16, lr=0.01 * (i + 1), **kind) for i in range(3)]
    folder, flag = str(tmp_path / "checkpoints"), tmp_path / "flag"

    def stop_after_two(event):
        if event["event"] == "report" and event["epoch"] == 1:
            flag.write_text("")

    how = {"stop_flag": str(flag), "emit": stop_after_two, "checkpoint_every": 0}
    if first_fused:
        _, ends = fused(normed, options, task, folder, **how)
        assert [end.interrupted for end in ends] == [True] * 3
    else:
        for number, option in enumerate(options):
            flag.unlink(missing_ok=True)
            one = trial(number, folder, **how)
            with pytest.raises(Interrupted):
                train_alone(one, built(normed, task.x.dtype, one), option, task)
    flag.unlink()
    finished = alone(normed, options, task, folder)
    if not first_fused:
        finished, ends = fused(normed, options, task, folder)
        assert {end.trial.resumed_at for end in ends} != {0}
    assert_equal(alone(normed, options, task), finished, 1e-9)


def test_when_memory_runs_out_the_group_is_halved_and_goes_on(monkeypatch):
    """From where it stood: the curves and weights are those of the loop."""
    task = problem()
    width = len(OPTIONS)
    evaluate = Lanes.evaluate

    def greedy(self):
        if len(self) > width // 2 and self.members[0].steps:
            raise torch.OutOfMemoryError("as if")
        return evaluate(self)

    monkeypatch.setattr(Lanes, "evaluate", greedy)
    made, ends = fused(normed, OPTIONS, task, width=width)
    assert {end.width.lanes for end in ends} == {2}
    assert "memory ran out at 4" in ends[0].width.why
    monkeypatch.undo()
    assert_equal(alone(normed, OPTIONS, task), made, 1e-9)


class Deciding(nn.Module):
    """A network whose path depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, x):
        """Apply it."""
        return self.layer(x) if self.layer.weight.sum().item() > 0 else -self.layer(x)


class Idle(nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.idle = nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x):
        """Apply it."""
        return self.layer(x)


class Remembering(nn.Module):
    """A network that adds up what it has seen, beside its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 2)
        self.calls = 0

    def forward(self, x):
        """Apply it, ever stronger."""
        self.calls += 1
        return self.layer(x) * self.calls


def hooked(dtype):
    """Give a network with a hook."""
    model = dense(dtype)
    model[0].register_forward_hook(lambda module, given, output: output * 2)
    return model


def differing(dtype):
    """Give a network with a function of its own."""
    model = dense(dtype)
    model.scale = lambda x: x
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda dtype: Deciding().to(dtype), "vmap cannot run it"),
        (lambda dtype: Idle().to(dtype), "not all of its parameters get a gradient"),
        (lambda dtype: Remembering().to(dtype), "its forward pass changes its attributes"),
        (hooked, "it has hooks"),
        (differing, "no other trial has a model of the same structure"),
        (lambda dtype: nn.Sequential(dense(dtype)).requires_grad_(False), "no parameters to train"),
    ],
)
def test_what_cannot_be_fused_is_left_to_the_loop_with_the_reason(make, words):
    """Found at the first step, before anything is trained."""
    task = problem()
    seats = []
    for number, option in enumerate(OPTIONS):
        one = trial(number)
        member = Member(make(torch.float64), option, one.seed)
        seats.append(Seat(one, member))
    before = copy.deepcopy([seat.member.model.state_dict() for seat in seats])
    ends = list(train_together(seats, task, width=4))
    assert len(ends) == 4
    assert all(words in end.alone for end in ends), ends[0].alone
    for seat, weights in zip(seats, before, strict=True):
        for name, tensor in weights.items():
            assert torch.equal(tensor, seat.member.model.state_dict()[name])


def test_dropout_has_masks_of_its_own_in_each_lane():
    """Equal trials but for dropout come out different, and learn."""

    def dropping(dtype):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 2)).to(dtype)

    task = problem()
    options = [TorchOptions(epochs=3, batch_size=53)] * 2
    seats = []
    for number, option in enumerate(options):
        one = trial(number)
        one.seed = 0
        seats.append(Seat(one, Member(dropping(torch.float64), option, 0)))
    ends = list(train_together(seats, task, width=2))
    one, other = (end.model.state_dict()["0.weight"] for end in ends)
    assert not torch.equal(one, other)


def test_models_of_other_structure_are_trained_apart():
    """Two widths in one group: each is fused with its like."""
    task = problem()
    seats = []
    for number in range(6):
        one = trial(number)
        width = 4 + number % 2
        model = nn.Sequential(nn.Linear(6, width), nn.Linear(width, 2)).double()
        seats.append(Seat(one, Member(model, TorchOptions(epochs=2), one.seed)))
    ends = list(train_together(seats, task, width=6))
    assert sorted(end.trial.config.number for end in ends) == list(range(6))
    assert not any(end.alone for end in ends)


def test_nothing_new_is_started_when_the_run_is_to_stop():
    """What is in training goes on; who waits is not told of."""
    task = problem()
    seats = []
    for number, option in enumerate(OPTIONS):
        one = trial(number)
        seats.append(Seat(one, Member(dense(torch.float64), option, one.seed)))
    asked = []

    def stopping():
        asked.append(True)
        return len(asked) > 2

    ends = list(train_together(seats, task, width=2, stopping=stopping))
    assert [end.trial.config.number for end in ends] == [0, 1]
    assert all(end.trial.curve.rows for end in ends)


def test_without_a_width_it_measures_and_says_what_it_chose():
    """Either way: fused with the figures, or left to the loop with the figures."""
    task = problem()
    seats = []
    for number in range(12):
        one = trial(number)
        seats.append(Seat(one, Member(dense(torch.float64), OPTIONS[0], one.seed)))
    for end in train_together(seats, task):
        words = end.alone or end.width.why
        assert "µs a step and trial" in words


@pytest.mark.parametrize("make", [dense, normed])
def test_compiled_training_equals_the_plain_one(make, monkeypatch):
    """The loop's and the fused; traced as for a device, and run as it is."""
    traced = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", traced)
    compiled = [replace(option, compile=True) for option in OPTIONS]
    expected = alone(make, OPTIONS, problem())
    assert_equal(expected, alone(make, compiled, problem()), 1e-9)
    made, _ = fused(make, compiled, problem(), width=3)
    assert_equal(expected, made, 1e-9)


@pytest.mark.gpu
def test_on_a_gpu_fused_training_equals_the_loop():
    """Within single precision's rounding."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    task = problem(torch.float64)
    task = Problem(*(t.cuda() for t in (task.x, task.y, task.val_x, task.val_y)), task.loss, {})
    made, _ = fused(normed, OPTIONS, task)
    assert_equal(alone(normed, OPTIONS, task), made, 1e-8)
