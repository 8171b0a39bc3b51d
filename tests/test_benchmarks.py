"""The benches work: at the smallest sizes, without looking at the time."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import dasktune as dt

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """Import a bench by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        return importlib.import_module(name)

    yield load
    for name in (
        "report",
        "bench_rivals",
        "bench_overhead",
        "bench_noop",
        "bench_reading",
        "bench_scale",
        "bench_search",
    ):
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
    """With a train function that does nothing; and a bare graph beside it."""
    overhead = bench("bench_overhead")
    found = overhead.ours(4) | overhead.theirs(4)
    assert len(found) == 7
    assert all(value > 0 for value in found.values())


def test_simulated_workers_do_all_trials(bench, tmp_path):
    """Two thin workers on a scheduler of their own; the figures have their table and plot."""
    scale = bench("bench_scale")
    found = scale.measure(4, 2, 0.05)
    assert (found["trials"], found["workers"]) == (4, 2)
    assert found["trials a second"] > 0
    sys.modules["report"].curves(tmp_path / "a.svg", [2.0], {"trials": [4.0]}, "workers")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_the_no_op_is_measured_on_stamps_that_nobody_trained(bench, capsys):
    """Eight trials, all up to date; then two more."""
    bench("bench_noop").main(8)
    words = capsys.readouterr().out
    assert "for 8 trials" in words
    assert "for 10 trials" in words


def test_searches_that_are_played_spend_what_real_ones_do(bench, tmp_path):
    """The same strategy over the same grid: epochs, and the best; the bench has its table."""
    import dasktune as dt

    searches = bench("bench_search")
    axes = {"hidden": ["16"], "weight_decay": ["0.0"], "seed": ["0", "1"]}
    sweep, curves = searches.grid_curves(4, str(tmp_path / "grid"), axes)
    for strategy in (dt.Hyperband(eta=2), dt.SuccessiveHalving(n=4, eta=2)):
        played = searches.Play(sweep, curves, strategy, 2.0).run(3)
        store = dt.Sweep.load(
            str(searches.FILE), store=str(tmp_path / str(strategy)), overrides={"epochs": ["4"]}
        ).store
        real = replace(sweep.searching(strategy), store=store)
        assert dt.make(real, options=dt.Options(cluster="none", fuse="off")).exit_code == 0
        dataset = dt.open_results(store.root)
        assert int(dataset.spent.sum()) == played.spent
    raw = searches.measure(2, 1, 20, axes)
    assert {"SuccessiveHalving", "ASHA, two objectives", "Race, t"} <= set(raw["decisions"])
    assert set(raw["searches"]) >= {"Hyperband", "Patience", "Optuna's median pruner"}
    assert len(searches.tabulate(raw).markdown().splitlines()) == 3 + len(raw["searches"])
    assert len(searches.crews({"digits": raw}).markdown().splitlines()) == 2 + len(searches.CREWS)


def test_reading_is_measured_on_stamps_as_training_leaves_them(bench, tmp_path):
    """The collation holds all of them, and a command that fails is no figure."""
    reading = bench("bench_reading")
    (tmp_path / "reading.py").write_text(reading.PIPELINE.replace("POINTS", "1"))
    sweep = dt.Sweep.load(str(tmp_path / "reading.py"), store=str(tmp_path / "dist"))
    assert reading.fill(sweep) > 0
    assert dt.open_results(sweep.store.root).sizes == {"trial": 200, "epoch": 30}
    command = ["results", "--to", "csv", "--output", "out.csv"]
    assert min(reading.timed(command, str(tmp_path)).values()) > 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 201
    with pytest.raises(subprocess.CalledProcessError):
        reading.timed(["results", "--where", "nonsense"], str(tmp_path))
