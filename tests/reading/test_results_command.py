"""``dasktune results``: sorted, filtered, grouped, compared."""

from __future__ import annotations

import json
import re
import shutil

import pytest


def rows(result):
    """Read the JSON that a command printed."""
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_the_leaderboard_has_the_interval_and_the_verdict(sweep, run_cli):
    """A row a config, best first; the constant above, the notes below."""
    shown = run_cli(["results"])
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0] == "everywhere activation=relu"
    assert next(line.split() for line in lines if line.strip().startswith("0.1 "))[:3] == [
        "0.1", "64", "0.90233",
    ]  # fmt: skip
    assert "95% interval" in shown.out
    assert "best     accuracy 0.90233 (95% interval 0.88241 to 0.92226), mean of 3" in shown.out
    assert "note     the runner-up (lr=0.1, width=128) cannot be told" in shown.out


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("lr>0.05", {0.1, 1.0}),
        ("lr > 0.05 and lr < 0.5", {0.1}),
        ("lr=0.01,1", {0.01, 1.0}),
        ("lr=1.0", {1.0}),
        ("activation=relu", {0.01, 0.1, 1.0}),
        ("activation == 'relu' and accuracy > 0.45", {0.01, 0.1}),
        ("status == 'failed'", {1.0}),
        ("loss < 0.2", {0.1}),
    ],
)
def test_where_keeps_the_trials_that_meet_a_condition(sweep, run_cli, condition, expected):
    """By hyperparameters, metrics, and anything else that is known of a trial."""
    found = rows(run_cli(["results", "--trials", "--json", "--where", condition]))
    assert {row["lr"] for row in found} == expected


def test_conditions_add_up(sweep, run_cli):
    """Each --where narrows."""
    arguments = ["results", "--trials", "--json", "--where", "lr=0.1", "--where", "seed>0"]
    assert len(rows(run_cli(arguments))) == 4


def test_grouping_gives_mean_spread_and_interval_over_all_others(sweep, run_cli):
    """Over seeds and over the hyperparameters that are not named."""
    found = rows(run_cli(["results", "--group-by", "lr", "--json"]))
    assert [row["lr"] for row in found] == [0.1, 0.01, 1.0]
    assert [row["n"] for row in found] == [6, 6, 4]
    assert [row["failed"] for row in found] == [0, 0, 2]
    assert found[0]["low"] < found[0]["mean"] < found[0]["high"]
    both = rows(run_cli(["results", "--group-by", "width,lr", "--json", "--best", "2"]))
    assert [(row["width"], row["lr"]) for row in both] == [(64, 0.1), (128, 0.1)]


def test_sorting_by_any_column_and_the_first_rows(sweep, run_cli):
    """A column of the trials shows trials, one of the configs shows configs."""
    found = rows(run_cli(["results", "--sort", "loss", "--best", "3", "--json"]))
    assert found[0]["loss"] == min(row["loss"] for row in found)
    assert len(found) == 3
    found = rows(run_cli(["results", "--sort", "sd", "--reverse", "--json"]))
    spreads = [row["sd"] for row in found if row["sd"] is not None]
    assert spreads == sorted(spreads, reverse=True)


def test_another_metric_may_be_the_objective(sweep, run_cli):
    """The worst by the one is the best by the other."""
    found = rows(run_cli(["results", "--objective", "max loss", "--json"]))
    assert found[0]["lr"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--where", "lrr>1"], ("no column 'lrr'", "Did you mean 'lr'?")),
        (["--where", "lr>"], ("cannot be read", "Write for instance")),
        (["--where", "lr + 1"], ("gives no yes or no",)),
        (["--where", "wdth=64"], ("no column 'wdth'", "Did you mean 'width'?")),
        (["--where", "activation == gelu"], ("no column 'gelu'",)),
        (["--where", "__import__('os').system('true')"], ("cannot be read",)),
        (["--where", "lr > 5"], ("no trial meets",)),
        (["--group-by", "lr,wdth"], ("no column 'wdth'", "Did you mean 'width'?")),
        (["--objective", "max acuracy"], ("no metric 'acuracy'", "Did you mean 'accuracy'?")),
        (["--objective", "accuracy"], ("'max' or 'min'",)),
        (["--compare", "nothing"], ("no results 'nothing'", "--versions")),
        (["--compare", "a", "--compare", "b", "--compare", "c"], ("one or two",)),
    ],
)
def test_bad_questions_get_one_line(sweep, run_cli, arguments, words):
    """With what was perhaps meant; exit code 2."""
    result = run_cli(["results", *arguments])
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    for word in words:
        assert word in line


def test_two_versions_of_the_code_are_compared_trial_by_trial(project):
    """The store keeps the older results."""
    project.make()
    project.edit("return a * 10 + b", "return a * 10 + b + a")
    project.make()
    versions = rows(project.cli("results", "--versions", "--json"))
    assert [row["trials"] for row in versions] == [4, 4]
    assert versions[0]["mean"] - versions[1]["mean"] == 1.5
    old, new = versions[1]["version"], versions[0]["version"]
    told = project.cli("results", "--compare", old)
    assert "score changes by +1.5 (95% interval +0.581 to +2.42, 4 pairs): " in told.out
    assert "the second is better; better in 4, worse in 0, equal in 0" in told.out
    back = project.cli("results", "--compare", new, "--compare", old)
    assert "the second is worse" in back.out
    assert rows(project.cli("results", "--compare", old, "--json"))[0]["difference"] == 2


def test_two_runs_are_compared_by_their_folders(project):
    """A copy that somebody kept; what only one has is counted."""
    project.make()
    shutil.copytree(project.root / "collated.zarr", project.folder / "kept.zarr")
    project.make("a=2,3")
    told = project.cli("results", "--compare", "kept.zarr")
    assert "all 2 trials have the same score in both" in told.out
    assert "2 trials are only in the first" in told.out
    assert "2 trials are only in the second" in told.out


def test_variables_tell_versions_apart(project):
    """Also with the same code."""
    project.make()
    project.make("epochs=4")
    versions = rows(project.cli("results", "--versions", "--json"))
    assert [row["variables"] for row in versions] == ["epochs=4", "epochs=2"]
    assert len({row["code"] for row in versions}) == 1
    told = project.cli("results", "--compare", versions[1]["version"])
    assert "score changes by +2" in told.out


def test_ten_thousand_trials_are_cut_on_a_terminal_and_whole_in_a_pipe(monkeypatch):
    """With a line that says how to see the others."""
    import io

    import numpy as np
    from rich.console import Console

    from dasktune import tables
    from dasktune.cli import reading
    from dasktune.ranking import leaderboard

    dataset = _large()
    for terminal, expected in ((True, reading.ROWS), (False, 10_000)):
        out = io.StringIO()
        console = Console(file=out, width=60, force_terminal=terminal, color_system=None)
        monkeypatch.setattr(tables, "terminal", lambda console=console: console)
        reading._show(dataset, leaderboard(dataset), everything=False)
        shown = out.getvalue()
        assert len(re.findall(r"(?m)^ +[\d.]+   +[\d.]+", shown)) == expected
        assert ("… and 9960 more rows: --all, or --best N" in shown) is terminal
        assert "too wide for this terminal: " in shown
        assert max(map(len, shown.splitlines()[:40])) <= 80
    assert np.isfinite(dataset.objective).all()


def _large():
    import numpy as np
    import xarray as xr

    rng = np.random.default_rng(0)
    count = 10_000
    names = [f"hyperparameter_{i}" for i in range(8)]
    coords = {name: ("trial", rng.random(count).round(4)) for name in names}
    texts = dict.fromkeys(("status", "error", "worker", "device", "key"), ("trial", [""] * count))
    coords |= texts | {"trial": [f"t{i}" for i in range(count)], "epoch": [0]}
    coords |= {"objective": ("trial", rng.random(count)), "seconds": ("trial", np.ones(count))}
    attrs = {"pipeline": "p", "objective": "max score", "hyperparameters": names}
    return xr.Dataset({"score": (("trial", "epoch"), rng.random((count, 1)))}, coords, attrs)
