"""How many trials share a device: the decision, and measuring with real trainings."""

from __future__ import annotations

import re

import dask
import pytest

from dasktune.cluster.packing import Level, Room, Verdict, judge, rate, tell
from dasktune.rehearsal import rehearse


def test_twice_as_many_are_tried_as_long_as_that_gains_something():
    """Ten per cent are the least; the number before is kept."""
    levels = []
    for speed, expected in ((10, 2), (18, 4), (25, 8), (26, None)):
        levels.append(Level(2 ** len(levels), speed))
        verdict = judge(levels, Room())
        assert verdict.next == expected
    assert verdict.pack == 4
    assert verdict.why == "8 would be only 4% faster"
    assert judge([], Room()).next == 1


@pytest.mark.parametrize(
    ("levels", "room", "pack", "why"),
    [
        ([Level(1, 10), Level(2, 8)], Room(), 1, "2 are 20% slower"),
        ([Level(1, 10), Level(2, error="CUDA out of memory")], Room(), 1, "2: CUDA out of memory"),
        ([Level(1, error="no")], Room(), 1, "1: no"),
        ([Level(1, 0.0)], Room(), 1, "1: too slow to be measured in a short while"),
        ([Level(1, 10, 5e9)], Room(1e9, 8e9), 1, "2 would need 8.4 GiB of 7.5 GiB"),
        ([Level(1, 10)], Room(most=1), 1, "it has no more than 1 to train"),
        ([Level(1, 10), Level(2, 19)], Room(most=3), 2, "it has no more than 3 to train"),
        ([Level(16, 10), Level(32, 19)], Room(most=99), 32, "32 is the most"),
    ],
)
def test_it_ends_where_more_are_of_no_use(levels, room, pack, why):
    """Or of no good: short of memory, failing, slower."""
    assert judge(levels, room) == Verdict(None, pack, why)


def test_memory_that_suffices_or_that_nobody_knows_hinders_nothing():
    """What others use already counts."""
    assert judge([Level(1, 10, 2e9)], Room(1e9, 8e9)).next == 2
    assert judge([Level(1, 10, None)], Room(None, None)).next == 2


def test_the_rates_of_trials_add_up():
    """One that reported once, or not at all, adds nothing."""
    assert rate([(0, 1, 2, 3), (1, 1.5, 2)]) == 3.0
    assert rate([(5.0,), (), (2.0, 2.0)]) == 0.0


def test_what_was_measured_is_said_in_a_line():
    """With the figures."""
    levels = [Level(1, 12.34), Level(2, 13.0)]
    assert tell(levels, judge(levels, Room()), "GPU 0") == (
        "packing 1 on GPU 0, since 2 would be only 5% faster "
        "(epochs a second: 12.3 with 1, 13 with 2)"
    )


def test_a_rehearsal_trains_again_and_again_and_leaves_nothing(project):
    """A trial of two epochs reports as often as is wanted; no result, no log, no output."""
    project.make("preprocessed")
    sweep = project.sweep()
    sweep.codes.save(sweep.store)
    plan = sweep.plan()
    task = next(iter(sweep.tasks(plan, "run").train.values()))
    before = sorted(path for path in project.root.rglob("*"))
    times = rehearse(task, plan.targets["preprocessed"].outcome, reports=7)
    assert len(times) == 7
    assert list(times) == sorted(times)
    assert project.ran().count("train a=1,b=3") == 4
    assert sorted(path for path in project.root.rglob("*")) == before


def test_a_trial_that_reports_nothing_ends_its_rehearsal(project):
    """It fails where it counts."""
    project.edit("trial.report(", "dict(")
    project.make("preprocessed")
    sweep = project.sweep()
    sweep.codes.save(sweep.store)
    plan = sweep.plan()
    task = next(iter(sweep.tasks(plan, "run").train.values()))
    assert rehearse(task, plan.targets["preprocessed"].outcome) == ()


SLEEP = "noise = float(np.random.random()); time.sleep(0.05)"


def test_pack_auto_measures_and_trains_so_many_on_a_device(project, monkeypatch):
    """Trials that mostly wait gain by sharing it; the figures that decided are told."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    project.edit("noise = float(np.random.random())", SLEEP)
    project.edit('note("train " + trial.id)', "print(os.environ['CUDA_VISIBLE_DEVICES'])")
    with dask.config.set({"dasktune.pack-seconds": 0.5}):
        result = project.cli("make", "--cluster", "cuda", "--pack", "auto", "b=3")
    assert result.code == 0, result.err
    line = next(line for line in result.out.splitlines() if "packing" in line)
    assert re.search(
        r"packing 2 on GPU 3, since it has no more than 2 to train "
        r"\(epochs a second: [\d.]+ with 1, [\d.]+ with 2\)$",
        line,
    )
    assert "GPU 3, 2 trials at a time on each" in result.out
    assert {str(name) for name in project.dataset().worker.values} <= {"gpu3-0", "gpu3-1"}
    logs = [path.read_text().splitlines()[0] for path in project.root.glob("trained/*/log.txt")]
    assert logs == ["3", "3"]


def test_pack_auto_without_a_gpu_finds_how_many_this_machine_trains_at_a_time(project):
    """In a search as well; a trial that fails leaves it at one, and the run tells why."""
    project.edit(
        "def train(trial, data, epochs=2):", "def train(trial, data, epochs=2):\n    1 / 0"
    )
    project.edit('objective="max score"', 'objective="max score", budget="epochs"')
    with dask.config.set({"dasktune.pack-seconds": 0.5}):
        result = project.cli(
            "make", "--cluster", "local", "--pack", "auto", "--search", "hyperband", "-k"
        )
    assert result.code == 2
    assert "packing 1 on this machine, since 1: ZeroDivisionError: division by zero" in result.out
    assert "ZeroDivisionError" in result.err


@pytest.mark.parametrize("cluster", ["local", "none"])
def test_packing_where_there_are_no_gpus_to_share_is_refused(project, cluster):
    """With what to do instead."""
    result = project.cli("make", "--cluster", cluster, "--pack", "2")
    assert result.code == 2
    assert "--cluster cuda, or -j N" in result.err
    assert project.ran() == []


@pytest.mark.parametrize("word", ["0", "many", "-1", "1.5"])
def test_nonsense_is_refused(project, word):
    """A number, or auto."""
    result = project.cli("make", "--pack", word)
    assert result.code == 2
    assert "--pack takes auto or a number of at least 1" in result.err
