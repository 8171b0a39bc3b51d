"""Several objectives, end to end: a front instead of a best, in sweeps and in searches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import dasktune as dt
from dasktune.errors import PipelineError, UsageError
from dasktune.objective import Objective
from dasktune.ranking import leaderboard, objective_values
from dasktune.reading.selection import with_objective

COUNTING = (Path(__file__).parent / "counting.py").read_text()
FILE = (
    COUNTING
    + """
import dasktune as dt


def train(trial, data, epochs=9):
    total = Total()
    trial.checkpoint(total=total)
    a, b = trial.config.a, trial.config.b
    for epoch in trial.epochs(epochs):
        trial.report(score=a * (epoch + 1) - 0.1 * b, size=float(a + b))


space = dt.Space(a=dt.choice(1, 2, 3), b=dt.choice(0, 1))
pipeline = dt.Pipeline(
    space.grid(), preprocess, train, objective=("max score", "min size"), budget="epochs",
)
"""
)


@pytest.fixture
def several(project):
    """Give a project with two objectives."""
    project.file.write_text(FILE)
    return project


def test_a_sweep_has_a_front_and_no_best(several, run_cli, tmp_path):
    """In the dataset, on the screen, as a figure and in the report."""
    result = several.make()
    assert result.code == 0, result.err
    assert "front    3 of 6 configurations: none is better in all of max score, min size" in (
        result.out
    )
    dataset = several.dataset()
    assert dataset.attrs["objective"] == "max score, min size"
    assert dataset.front.values.tolist() == [1, 2, 1, 2, 1, 2]
    with pytest.raises(UsageError, match=r"no best configuration but a front, of 3.*best\('score'"):
        dt.best(dataset)
    assert dt.best(dataset, "score").config == {"a": 3, "b": 0}
    assert dt.best(dataset, "min size").config == {"a": 1, "b": 0}
    with pytest.raises(UsageError, match=r"no objective 'scor'.*Did you mean 'score'"):
        dt.best(dataset, "scor")
    results = dt.open(several.root)
    assert results.front()["a"].tolist() == [3, 2, 1]
    assert repr(results) == "<Results: 6 trials, front of 3 in (max score, min size)>"
    assert "<th>mean size</th>" in results._repr_html_()
    board = results.leaderboard()
    assert board["front"].tolist() == [1, 1, 1, 2, 2, 2]
    assert board["mean size"].tolist() == [3, 2, 1, 4, 3, 2]
    shown = several.cli("results").out
    assert "front" in shown.splitlines()[1]
    assert several.make("-q").code == 0
    picture = tmp_path / "front.svg"
    assert several.cli("plot", "front", "--output", str(picture)).code == 0
    assert picture.read_text().startswith("<?xml")
    assert several.cli("plot", "curves", "--output", str(picture)).code == 0
    page = tmp_path / "report.html"
    assert several.cli("report", "--output", str(page)).code == 0
    text = page.read_text()
    assert "Several objectives: max score, min size." in text
    assert 'id="front"' in text
    study = tmp_path / "study.log"
    assert several.cli("results", "--to", "optuna", "--output", str(study)).code == 0


def test_a_front_is_asked_for_afterwards(several):
    """Of a sweep that had one objective; seconds need not be reported."""
    several.edit('("max score", "min size")', '"max score"')
    several.make()
    assert "front" not in several.dataset().coords
    out = several.cli("results", "--objective", "max score, min size, min seconds").out
    assert "none is better in all of max score, min size, min seconds" in out
    assert several.cli("results", "--objective", "min seconds").code == 0
    with pytest.raises(UsageError, match="a front needs several objectives"):
        dt.open(several.root).front()
    error = several.cli("results", "--objective", "max score, min sise").err
    assert "no metric 'sise'" in error


@pytest.mark.parametrize(
    "strategy",
    ["SuccessiveHalving()", "ASHA(6)", "MedianStopping(6)", "Optuna(5)", "Optuna(5, 'nsga2')"],
)
def test_a_search_takes_several_objectives(several, strategy):
    """It ends with a front, is up to date then, and resumes from the stamps."""
    result = several.make("--search", strategy)
    assert result.code == 0, result.err
    dataset = several.dataset()
    assert set(dataset.front.values) >= {1}
    assert several.make("--search", strategy, "-q").code == 0


def test_halving_promotes_the_front(several):
    """Not the best of the first objective alone: both ends of the front go on."""
    several.make("--search", "SuccessiveHalving(n=6)")
    dataset = several.dataset()
    columns = (dataset[name].values.tolist() for name in ("a", "b", "budget"))
    assert sorted((a, b) for a, b, budget in zip(*columns, strict=True) if budget > 1) == [
        (1, 0),
        (3, 0),
    ]


def test_seconds_are_an_objective(several):
    """Of the whole training, whatever it went on from."""
    several.edit('"min size"', '"min seconds"')
    assert several.make("--search", "SuccessiveHalving(n=6)").code == 0
    board = leaderboard(several.dataset())
    assert (board["mean seconds"] > 0).all()
    curve = {"epochs": 9, "columns": {"score": [1.0] * 9}, "dims": {}}
    objective = Objective.parse("max score, min seconds")
    assert objective.values(curve, 9.0) == (1.0, 9.0)
    assert objective.values(curve, 9.0, 2) == (1.0, 2.0)


@pytest.fixture
def slow_at_first(several):
    """Give a project whose first epoch takes a while."""
    several.edit("b=dt.choice(0, 1)", "b=0")
    several.edit(
        "        trial.report(", "        time.sleep(0.1 * (not epoch))\n        trial.report("
    )
    several.edit("import dasktune as dt\n", "import time\n\nimport dasktune as dt\n")
    return several


def seconds_of_objectives(dataset):
    """Give the seconds of each trial as a single objective and as one of several have them."""
    alone = with_objective(dataset, "min seconds")["objective"].values
    among = objective_values(with_objective(dataset, "max score, min seconds"))[:, 1]
    assert alone.tolist() == among.tolist()
    return alone


def test_seconds_are_those_of_all_stretches_of_a_sweep_that_grew(slow_at_first):
    """Where the slow epoch was trained in an earlier run, it counts all the same."""
    assert slow_at_first.make("epochs=1").code == 0
    assert "training_seconds" not in slow_at_first.cli("results", "--trials").out
    for epochs in ("epochs=2", "epochs=3"):
        assert slow_at_first.make(epochs).code == 0
    assert "training_seconds" in slow_at_first.cli("results", "--trials").out
    dataset = slow_at_first.dataset()
    assert (seconds_of_objectives(dataset) > dataset.seconds + 0.1).all()


def test_seconds_are_those_of_all_rungs_of_a_search(slow_at_first):
    """As the search itself is told; what is spent for a trial is another thing."""
    slow_at_first.edit('"min size"', '"min seconds"')
    assert slow_at_first.make("--search", "SuccessiveHalving(n=3)").code == 0
    dataset = slow_at_first.dataset()
    assert dataset.budget.max() == 9
    assert (seconds_of_objectives(dataset) > 0.1).all()
    partial = dt.open(slow_at_first.root, partial=True).dataset
    assert (seconds_of_objectives(partial) > 0.1).all()


def test_seconds_do_not_depend_on_a_kill_at_the_end(slow_at_first):
    """A training that finds its last epoch in a checkpoint took as long as it took."""
    assert slow_at_first.make("epochs=2").code == 0
    for folder in ("trained", "collated"):
        shutil.rmtree(slow_at_first.root / folder)
    assert slow_at_first.make("epochs=2").code == 0
    dataset = slow_at_first.dataset()
    assert (seconds_of_objectives(dataset) > dataset.seconds + 0.1).all()


def test_the_mean_over_replicates_decides_the_front(several):
    """Of each objective by itself; ranks are means over the replicates."""
    several.edit("b=dt.choice(0, 1))", "b=dt.choice(0, 1), seed=dt.replicates(2))")
    several.edit("score=a *", "score=trial.replicate['seed'] * 0.01 + a *")
    several.make()
    dataset = several.dataset()
    assert dataset.front.values.tolist() == [1, 1, 2, 2] * 3
    assert leaderboard(dataset)["rank"].tolist() == [1, 3, 5, 2, 4, 6]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("('max score', 'max score')", "'score' is in it twice"),
        ("('max score', 'size')", "but got 'size'"),
        ("('max score', 3)", "but got 3"),
        ("()", "an objective needs a metric"),
        ("('min seconds', 'max score')", "'min seconds' may follow it"),
    ],
)
def test_objectives_that_cannot_be_are_refused(several, objective, message):
    """In one line, with the fix."""
    several.edit('("max score", "min size")', objective)
    result = several.make()
    assert result.code == 2
    assert message in result.err


def test_each_objective_must_be_reported(several):
    """The trial fails that does not."""
    several.edit('"min size"', '"min sise"')
    result = several.make()
    assert result.code == 2
    assert "must report the objective's metric 'sise'" in result.err
    assert "Did you mean 'size'?" in result.err


def test_strategies_that_take_one_objective_refuse_several(several):
    """The pipeline says so, or the sampler."""
    assert "takes one objective" in several.make("--search", "Optuna(5, 'cmaes')").err

    class One(dt.SuccessiveHalving):
        multiobjective = False

    with pytest.raises(PipelineError, match="One takes one objective"):
        several.sweep().searching(One())


def test_a_letter_that_can_be_written_in_two_ways_is_one():
    """The micro sign of a keyboard is a Greek letter in every name that Python reads."""
    assert Objective.parse("min µ_loss").metric == next(iter(dict(µ_loss=1)))
