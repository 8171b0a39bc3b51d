"""How many trials to train as one."""

from __future__ import annotations

import pytest

from dasktune.pytorch.calibration import decide


@pytest.mark.parametrize(
    ("alone", "fused", "lanes"),
    [
        (1.0, {8: 2.0, 32: 4.0, 128: 32.0}, 32),  # an eighth a trial is the least
        (1.0, {8: 7.5}, 1),  # less than a tenth is no gain
        (1.0, {8: 7.0}, 8),
        (1.0, {8: 16.0, 32: 64.0}, 1),
        (1.0, {}, 1),
    ],
)
def test_the_width_with_the_least_time_a_trial_is_taken(alone, fused, lanes):
    """The loop's, unless fusing gains."""
    assert decide(alone, fused).lanes == lanes


def test_the_reason_has_the_figures():
    """For the stamp."""
    why = decide(0.001, {8: 0.004}).why
    assert (
        why == "2.0 times as fast as the loop: 500 µs a step and trial at 8 as one, 1000 µs alone"
    )
    assert "would not pay" in decide(0.001, {8: 0.008}).why
