"""The benches work: at the smallest sizes, without looking at the time."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """Import a bench by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        return importlib.import_module(name)

    yield load
    for name in ("report", "bench_rivals", "bench_overhead", "bench_noop"):
        sys.modules.pop(name, None)


def test_rivals_do_the_same_work_and_give_the_same_accuracies(bench):
    """Those that need no package of their own; the first is dasktune."""
    rivals = bench("bench_rivals")
    kept = []
    axes = {"lr": [0.003, 0.01], "weight_decay": [0.0], "seed": [0]}
    names = ["dasktune", "dasktune, fused", "serial"]
    raw = rivals.measure(axes, 1, 2, 1, names, tell=kept.append)
    assert set(raw["apart"]) == set(raw["seconds"]) == set(names)
    assert raw["apart"]["serial"] == 0.0
    assert len(kept) == 3
    table = rivals.tabulate(raw).markdown().splitlines()
    assert len(table) == 5
    assert table[0].startswith("| rival | seconds | / dasktune | / dasktune, fused |")


def test_other_accuracies_are_refused(bench):
    """No time is told of work that was not done."""
    rivals = bench("bench_rivals")
    assert rivals.compare({"dasktune": [0.9, 0.8], "x": [0.9, 0.8]}) == {"dasktune": 0.0, "x": 0.0}
    with pytest.raises(SystemExit, match="x has other accuracies"):
        rivals.compare({"dasktune": [0.9, 0.8], "x": [0.9, 0.7]})
    with pytest.raises(SystemExit, match="x has other accuracies"):
        rivals.compare({"dasktune": [0.9, 0.8], "x": [0.9, float("nan")]})


def test_the_overhead_is_measured_to_the_last_trial(bench):
    """With a train function that does nothing."""
    overhead = bench("bench_overhead")
    found = overhead.ours(4)
    assert set(found) == {
        "dasktune, ms a trial",
        "dasktune, s to the first trial",
        "dasktune, s to collate",
    }
    assert all(value > 0 for value in found.values())


def test_the_no_op_is_measured_on_stamps_that_nobody_trained(bench, capsys):
    """Eight trials, all up to date; then two more."""
    bench("bench_noop").main(8)
    words = capsys.readouterr().out
    assert "for 8 trials" in words
    assert "for 10 trials" in words
