"""Unions of designs: a region is added to a sweep, and nothing of it is trained again."""

from __future__ import annotations

import numpy as np
import pytest

import dasktune as dt
from dasktune.errors import SearchError, SpaceError
from dasktune.search.draws import Draws


def test_a_union_has_the_trials_of_all_its_designs():
    """One that two of them have is one; each has its own replicates and hyperparameters."""
    near = dt.Space(a=dt.choice(1, 2), seed=dt.replicates(2)).grid()
    far = dt.Space(a=dt.choice(2, 9), seed=dt.replicates(3)).grid()
    both = dt.union(near, far)
    ids = [spec.id for spec in both.trials()]
    assert len(ids) == len(set(ids)) == 4 + 6 - 2
    assert {spec.id for spec in near.trials()} <= set(ids)
    assert both.space.domains["a"].points() == (1, 2, 9)
    two = next(spec.config for spec in near.trials() if spec.config.a == 2)
    assert [spec.replicate["seed"] for spec in both.replicated(two)] == [0, 1, 2]
    assert dt.union(both, near).trials() == both.trials()
    assert dt.union(near) is near
    text = "union of (full grid of 2 configs x 2 seed) and (full grid of 2 configs x 3 seed)"
    assert both.describe() == f"{text}: 8 trials"


def test_a_union_narrows_to_the_designs_that_have_a_name():
    """On the command line; a name that none has is an error."""
    one = dt.Space(a=dt.choice(1, 2)).grid()
    two = dt.Space(a=dt.choice(3), b=dt.choice(5, 6)).random(4)
    both = dt.union(one, two)
    assert {spec.config.b for spec in both.override({"b": ["5"]}).trials()} == {5}
    assert {spec.config.a for spec in both.override({"a": ["7"]}).trials()} == {7}
    assert both.override({"a": ["3"]}).trials() == two.trials()
    assert {spec.config.a for spec in both.override({"a": ["2", "3"]}).trials()} == {2, 3}
    assert len(both.override({"a": ["2", "3"]}).trials()) == 1 + len(two.trials())
    apart = dt.union(dt.Space(a=1, b=dt.choice(1, 2)), dt.Space(a=2, b=dt.choice(3, 4)))
    with pytest.raises(dt.DasktuneError, match="none of the united designs has a=1 b=3,4"):
        apart.override({"a": ["1"], "b": ["3", "4"]})
    with pytest.raises(dt.DasktuneError, match="no hyperparameter 'c'"):
        both.override({"c": ["1"]})


@pytest.mark.parametrize(
    ("designs", "message"),
    [
        ((), "needs at least one design"),
        ((dt.Space(a=1), 3), "takes designs"),
        ((dt.Space(a=1), dt.Space(a=1, seed=dt.replicates(2))), "same axes of replicates"),
        (
            (dt.Space(a=1, s=dt.replicates(2)), dt.Space(a=1, s=dt.replicates(2, common=True))),
            "same kind of replicates",
        ),
        ((dt.Space(a=dt.choice(1, 2)), dt.Space(a=dt.uniform(0, 1)).random(2)), "cannot be united"),
    ],
)
def test_what_cannot_be_united_is_refused(designs, message):
    """With the rule and the fix."""
    with pytest.raises(SpaceError, match=message):
        dt.union(*designs)


def test_intervals_are_united_to_one_that_holds_both():
    """For the text and the search; the draws stay those of the designs."""
    one = dt.Space(lr=dt.log_uniform(0.01, 0.1), n=dt.integers(1, 4, log=True)).random(3)
    two = dt.Space(lr=dt.log_uniform(0.1, 1.0), n=dt.integers(8, 9, log=True)).random(3)
    both = dt.union(one, two)
    lr, n = both.space.domains["lr"], both.space.domains["n"]
    assert (lr.low, lr.high, lr.log) == (0.01, 1.0, True)
    assert (n.low, n.high) == (1, 9)
    assert [spec.config for spec in both.trials()] == [
        *(spec.config for spec in one.trials()),
        *(spec.config for spec in two.trials()),
    ]
    with pytest.raises(SearchError, match="a union of designs is none"):
        dt.Optuna(3).start(Draws.of(both, 0), 9)


def test_a_value_is_only_of_the_designs_whose_trials_may_have_it():
    """Not of an interval between whose points it lies, nor of a list without it."""
    listed = dt.Space(lr=dt.choice(0.25))
    spread = dt.Space(lr=dt.uniform(0, 1, points=3))
    chosen = dt.Space(lr=dt.choice(0.5, 0.75)).explicit([{"lr": 0.5}])
    united = dt.union(listed, spread, chosen)
    assert [t.config.lr for t in united.override({"lr": ["0.25"]}).trials()] == [0.25]
    assert [t.config.lr for t in united.override({"lr": ["0.5"]}).trials()] == [0.5]
    assert {t.config.lr for t in united.override({"lr": ["0.75"]}).trials()} == {0.75}


def test_a_region_is_added_and_nothing_is_trained_again(project):
    """With a hyperparameter of its own; the dataset holds the union."""
    project.make()
    before = set(project.dataset().key.values)
    project.ran()
    project.edit(
        "pipeline = dt.Pipeline(space,",
        "far = dt.Space(a=dt.choice(8, 9), b=dt.choice(3, 5), c=dt.choice('x'))\n"
        "pipeline = dt.Pipeline(dt.union(space, far),",
    )
    assert "4 never trained; 4 kept" in project.cli("plan").out
    assert project.make().code == 0
    assert sorted(project.ran()) == [f"train a={a},b={b},c=x" for a in (8, 9) for b in (3, 5)]
    dataset = project.dataset()
    assert before < set(dataset.key.values)
    assert dataset.sizes["trial"] == 8
    assert sorted(dataset.c.values.tolist()) == [""] * 4 + ["x"] * 4
    assert dt.best(dataset).config == {"a": 9, "b": 5, "c": "x"}
    grid = dt.to_grid(dataset)
    assert (grid.sizes["a"], grid.sizes["b"]) == (4, 3)
    assert np.isfinite(grid.objective).sum() == 8
    assert project.cli("results", "--where", "c == 'x'").code == 0
    assert project.make("a=9").code == 0
    assert project.ran() == []  # not for the other design, which has no 9
    assert project.dataset().sizes["trial"] == 2


def test_a_union_is_searched_as_any_design(project):
    """Its configs in random order, each once."""
    project.edit("objective=", "budget='epochs', objective=")
    project.edit(
        "pipeline = dt.Pipeline(space,",
        "pipeline = dt.Pipeline(dt.union(space, dt.Space(a=dt.choice(8), b=dt.choice(3, 5))),",
    )
    assert project.make("--search", "SuccessiveHalving(n=6, eta=2)").code == 0
    assert project.dataset().sizes["trial"] == 6
