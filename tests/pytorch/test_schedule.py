"""Learning-rate schedules: torch's are the reference."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from dasktune.errors import PipelineError
from dasktune.pytorch.schedule import learning_rate_factor

STEPS = 40
REFERENCES = {
    "constant": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0),
    "step": lambda o: lr_scheduler.StepLR(o, 7, gamma=0.3),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, 1.0, STEPS, cycle_momentum=False),
}


@pytest.mark.parametrize("schedule", REFERENCES)
def test_a_schedule_gives_torchs_rates(schedule):
    """At each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = REFERENCES[schedule](optimizer)
    for step in range(STEPS):
        ours = learning_rate_factor(schedule, step, STEPS, step_size=7, gamma=0.3)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("schedule", REFERENCES)
def test_a_warm_up_rises_and_goes_over_into_the_schedule(schedule):
    """Linearly, without passing 1."""
    factors = [learning_rate_factor(schedule, s, STEPS, warmup=4) for s in range(STEPS)]
    assert factors[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert max(factors) <= 1
    assert factors[4] == learning_rate_factor(schedule, 0, STEPS - 4)


@pytest.mark.parametrize("schedule", REFERENCES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_trainings_have_a_rate(schedule, steps):
    """No division by zero."""
    for step in range(steps):
        assert 0 < learning_rate_factor(schedule, step, steps) <= 1


def test_an_unknown_schedule_is_told():
    """With the nearest known."""
    with pytest.raises(PipelineError, match=r"got 'cosin'.*[Dd]id you mean 'cosine'"):
        learning_rate_factor("cosin", 0, 1)
