"""Traces: the same bits without the Python, and no trace where that does not hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from dasktune.pytorch.traced import Traced, TraceDiffers


def stepper(model, seen=None):
    """Give the gradients of a model's loss for each lane, as fused training does."""

    def loss(weights, buffers, x):
        if seen is not None:
            seen.append(1)
        buffers = {name: tensor.clone() for name, tensor in buffers.items()}
        outputs = functional_call(model, {**weights, **buffers}, (x,))
        return outputs.square().mean(), buffers

    return lambda *stacked: vmap(grad(loss, has_aux=True), randomness="different")(*stacked)


def stacked(model, lanes=3):
    """Give arguments for it."""
    weights = {n: torch.stack([p.detach()] * lanes) for n, p in model.named_parameters()}
    buffers = {n: torch.stack([b] * lanes) for n, b in model.named_buffers()}
    return weights, buffers, torch.randn(lanes, 5, 6)


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.Dropout(0.5), nn.BatchNorm1d(4)])
def test_it_gives_the_same_bits_and_draws_the_same_random_numbers(layer):
    """Traced or not, at every call."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), layer, nn.Linear(4, 2))
    arguments = stacked(model)
    plain = stepper(model)
    traced = Traced(plain, worth=2)
    for _ in range(9):
        state = torch.get_rng_state()
        expected, after = plain(*arguments), torch.get_rng_state()
        torch.set_rng_state(state)
        found = traced(True, *arguments)
        assert torch.equal(after, torch.get_rng_state())
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not traced.obstacle


def test_the_function_runs_no_more_once_it_is_traced_but_to_check():
    """Each shape by itself; a rare one is never traced."""
    model, seen = nn.Linear(6, 2), []
    weights, buffers, x = stacked(model)
    traced = Traced(stepper(model, seen), worth=4)
    calls = []
    for _ in range(17):
        seen.clear()
        traced(True, weights, buffers, x)
        calls.append(len(seen))
    # At the fourth it is traced and checked, at the eighth and the sixteenth checked.
    assert calls == [1, 1, 1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    seen.clear()
    traced(True, weights, buffers, x[:, :4])
    traced(False, weights, buffers, x)
    assert len(seen) == 2


def test_what_is_no_number_is_traced_as_well():
    """A lane that has diverged."""
    model = nn.Linear(6, 2)
    weights, buffers, x = stacked(model)
    traced = Traced(stepper(model), worth=1)
    for _ in range(3):
        gradients, _ = traced(
            True, weights, buffers, x * torch.tensor([1, torch.nan, 1])[:, None, None]
        )
        assert gradients["weight"].isnan().any(dim=(1, 2)).tolist() == [False, True, False]
    assert not traced.obstacle


def test_a_function_that_cannot_be_traced_runs_as_it_is():
    """It looks at a value."""
    traced = Traced(lambda x: x * 2 if float(x.sum()) > 0 else x, worth=2)
    x = torch.ones(3)
    for sign in (1, 1, 1, -1):
        assert torch.equal(traced(True, sign * x), x * 2 if sign > 0 else -x)
    assert "cannot be traced" in traced.obstacle


def test_a_function_that_differs_from_call_to_call_is_not_traced():
    """It counts its calls, in Python."""
    count = iter(range(100))
    traced = Traced(lambda x: x + next(count), worth=2)
    found = [traced(True, torch.zeros(1)).item() for _ in range(4)]
    assert traced.obstacle == "its trace gives another result"
    assert found == sorted(set(found))


def test_a_function_that_changes_later_is_an_error():
    """What was trained since is no training of it."""
    state = {"factor": 1.0}
    traced = Traced(lambda x: x * state["factor"], worth=2)
    for _ in range(3):
        traced(True, torch.ones(1))
    state["factor"] = 2.0
    with pytest.raises(TraceDiffers, match="--fuse off"):
        traced(True, torch.ones(1))
