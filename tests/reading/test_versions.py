"""Versions along a dimension, and two configurations tested against each other."""

from __future__ import annotations

import numpy as np
import pytest

import dasktune as dt
from dasktune.errors import DataError, UsageError
from dasktune.reading.comparison import compare
from dasktune.reading.versions import by_version


def test_versions_of_the_code_are_a_dimension(project):
    """Old and new side by side, pairwise over the sweep; what one lacks is NaN."""
    project.make("epochs=3")
    project.edit("return a * 10 + b", "return a * 10 + b + a")
    project.edit("a=dt.choice(1, 2)", "a=dt.choice(2, 5)")
    project.make()
    old, new = project.cli("results", "--versions", "--json"), dt.open(project.root)
    assert old.code == 0
    both = new.versions()
    assert dict(both.sizes) == {"version": 2, "trial": 6, "epoch": 3}
    assert both.objective.dims == ("version", "trial")
    change = both.objective.isel(version=1) - both.objective.isel(version=0)
    assert change.dropna("trial").values.tolist() == [1.0, 1.0]  # 2 more, and an epoch less
    assert np.isfinite(both.score.isel(version=1)).sum() == 4 * 2
    assert (both.status == "absent").sum("trial").values.tolist() == [2, 2]
    assert both.a.dims == ("trial",)
    assert set(both.groupby("a").mean()["score"].dims) == {"version", "a", "epoch"}
    names = both.version.values.tolist()
    again = new.versions(names[1], names[0])
    assert again.version.values.tolist() == names[::-1]
    with pytest.raises(UsageError, match="no results 'nothing'"):
        new.versions("nothing")


def test_a_comparison_holds_both_along_a_dimension(project):
    """What ``--compare`` tells is read off it."""
    project.make()
    first = project.dataset()
    project.edit("return a * 10 + b", "return a * 10 + b + a")
    project.make("a=2,3")
    found = compare(first, project.dataset())
    assert found.dataset.version.values.tolist() == ["first", "second"]
    assert (found.only_first, found.only_second) == (2, 2)
    assert found.table["difference"].tolist() == [2.0, 2.0]
    assert found.dataset.sizes["trial"] == 6


def test_versions_with_other_dimensions_are_told(project):
    """And no versions at all."""
    project.make()
    dataset = project.dataset()
    wide = dataset.assign(score=dataset.score.expand_dims(part=2))
    with pytest.raises(DataError, match="'score' has other dimensions"):
        by_version({"a": dataset, "b": wide})
    with pytest.raises(UsageError, match="no versions"):
        by_version({})


def test_two_configurations_are_tested_pairwise(sweep, run_cli):
    """Over the replicates that both have, by two tests."""
    results = dt.open("dist/pipeline")
    found = results.test("lr=0.1,width=64", {"lr": 0.01, "width": 64})
    assert found.difference.interval.mean == pytest.approx(0.4)
    assert found.difference.told
    assert found.difference.p < 1e-6
    assert found.wilcoxon == pytest.approx(0.25)
    told = run_cli(["results", "--test", "lr=0.1,width=64", "lr=0.1,width=128"])
    assert told.code == 0
    assert "no difference can be told; p = " in told.out
    assert "3 pairs of seed" in told.out
    assert "the second is better" in results.test("lr=0.01,width=64", "lr=0.1,width=64").sentence
    assert run_cli(["results", "--test", "lr=0.1,width=64", "lr=1,width=64", "--json"]).code == 0
    few = results.where("seed == 0").test("lr=0.1,width=64", "lr=0.01,width=64")
    assert "too few for a test" in few.sentence


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("lr=0.1", "lr=0.01,width=64"), "2 configurations have lr=0.1"),
        (("lr=0.3,width=64", "lr=0.1,width=64"), "no configuration has lr=0.3"),
        (("lr=0.1,width=64", "width=64,lr=0.1"), "the same configuration"),
        (("lr", "lr=0.1"), "named as in 'lr=0.1,hidden=64'"),
        (("l=0.1", "lr=0.1"), "no hyperparameter 'l'"),
    ],
)
def test_configurations_that_are_not_told_are_refused(sweep, run_cli, pair, message):
    """With exit code 2 and one line."""
    result = run_cli(["results", "--test", *pair])
    assert result.code == 2
    assert message in result.err


def test_the_leaderboard_has_mean_ranks_over_replicates(sweep):
    """The best of each seed is first; ties share their ranks."""
    board = dt.open("dist/pipeline").leaderboard()
    assert board["rank"].is_monotonic_increasing
    assert board["rank"].iloc[:2].sum() == pytest.approx(3)
