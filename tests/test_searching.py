"""Searches end to end: what is trained, what is kept, what becomes of failures and kills."""

from __future__ import annotations

from collections import Counter

import pytest
import xarray as xr
from distributed import Client, LocalCluster

import dasktune as dt
from dasktune.results import VARYING
from dasktune.search.naming import strategy_of

SPENT = 9 * 1 + 3 * 2 + 1 * 6
"""Epochs of nine configs, of which three go on to 3 epochs and one to 9."""


def trained(project):
    """Count how often each epoch of each trial was trained since the last call."""
    return Counter(project.ran())


def test_a_search_trains_each_epoch_once_and_ends(search):
    """A rung goes on from the rung before, and the dataset says what was done."""
    result = search.make()
    assert result.code == 0, result.err
    assert "trained 13 rungs of 9 trials" in result.out
    assert f"the search spent {SPENT} epochs, where all its trials to the end were 81" in result.out
    counts = trained(search)
    assert sum(counts.values()) == SPENT
    assert set(counts.values()) == {1}
    dataset = search.dataset().sortby("a", ascending=False)
    assert dataset.budget.values.tolist() == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    assert dataset.rung.values.tolist() == [2, 1, 1, 0, 0, 0, 0, 0, 0]
    assert dataset.spent.values.tolist() == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    assert dataset.stopped.values[0] == "longest budget"
    assert dataset.stopped.values[3] == "rank 4 of 9 at 1 epochs, 3 go on"
    assert dt.best(dataset).config == {"a": 9}
    store = search.sweep().store
    keys = store.listing("trained")[dataset.trial.values[0]]
    stamps = [store.stamp(store.trained(dataset.trial.values[0], key)) for key in keys]
    assert len(stamps) == 3
    assert dataset.seconds.values[0] == pytest.approx(sum(stamp.seconds for stamp in stamps))
    again = search.make()
    assert (again.code, again.out) == (0, "dasktune: Nothing to be done for 'all'.\n")
    assert search.make("-q").code == 0
    assert search.make("epochs=27", "-q").code == 1


def test_the_plan_of_a_search_says_what_is_known_beforehand(search):
    """The first rung, and the most that may follow."""
    before = search.cli("plan").out
    assert "SuccessiveHalving() over a full grid of 9 configs" in before
    assert f"would train at most {SPENT} of {SPENT} epochs; no trial was ever timed" in before
    assert "9 never trained" in before
    dry = search.make("-n").out
    assert dry.count("train a=") == 9
    search.make("--search", "none", "a=1,2", "epochs=2")
    assert "an epoch)" in search.cli("plan").out  # as of other trials, which it has no use for
    search.make()
    assert "Nothing to be done" in search.cli("plan").out
    more = search.cli("plan", "epochs=27").out
    assert "9 kept" not in more
    assert "with -j" in more


def test_a_longer_longest_budget_grows_the_search(search):
    """The rungs that both have are kept: here those of 1, 3 and 9 epochs."""
    search.make()
    trained(search)
    search.edit("SuccessiveHalving()", "SuccessiveHalving(n=9)")
    assert search.make("epochs=27").code == 0
    assert trained(search) == Counter({f"9/0 {epoch}": 1 for epoch in range(9, 27)})


def test_a_result_of_a_sweep_is_a_result_of_a_search(search):
    """And the other way round: a rung is a target like any other."""
    assert search.make("--search", "none", "epochs=1", "a=1,2,3").code == 0
    assert len(trained(search)) == 3
    search.make()
    assert sum(trained(search).values()) == SPENT - 3
    search.make("--search", "none", "a=9")
    assert trained(search) == {}


def test_a_result_that_is_no_rung_stands_for_the_rungs_before_it(search):
    """And the best goes on from there: its first five epochs are not trained again."""
    assert search.make("--search", "none", "epochs=5").code == 0
    assert sum(trained(search).values()) == 9 * 5
    assert search.make().code == 0
    assert trained(search) == Counter({f"9/0 {epoch}": 1 for epoch in range(5, 9)})
    assert search.make("-q").code == 0


@pytest.mark.parametrize("every", [2, 3])
def test_a_search_after_another_one_is_up_to_date(search, every):
    """Though it depends on the order, which is another one when a plan is made from the files."""
    assert search.make("--search", "ASHA(9)").code == 0
    words = ("--search", f"MedianStopping(9, every={every})")
    assert search.make(*words).code == 0
    assert search.make(*words, "-q").code == 0
    assert search.make(*words).out == "dasktune: Nothing to be done for 'all'.\n"


def test_replicates_are_judged_by_their_mean(search):
    """A config is trained with all its seeds, or not at all."""
    search.edit("a=dt.choice(*range(1, 10))", "a=dt.choice(*range(1, 10)), seed=dt.replicates(2)")
    assert search.make().code == 0
    assert sum(trained(search).values()) == 2 * SPENT
    budgets = search.dataset().budget.groupby(search.dataset().a)
    assert (budgets.min() == budgets.max()).all()


def test_a_failure_stops_the_search_as_it_stops_a_sweep(search):
    """What is finished is kept, and the next run goes on."""
    (search.folder / "fail-9-2").touch()
    result = search.make()
    assert result.code == 2
    assert "told to fail" in result.err
    assert "Target 'all' not remade because of errors." in result.err
    (search.folder / "fail-9-2").unlink()
    before = trained(search)
    assert search.make().code == 0
    counts = before + trained(search)
    assert counts.pop("9/0 2") == 2
    assert set(counts.values()) == {1}


def test_a_failed_trial_does_not_go_on_but_others_do(search):
    """With -k the search ends without it and is not collated; with -i it is."""
    (search.folder / "fail-9-2").touch()
    result = search.make("-k")
    assert result.code == 2
    assert "not remade because of errors" in result.err
    assert "8/0 8" in trained(search)
    result = search.make("-i")
    assert result.code == 0, result.err
    row = search.dataset().set_index(trial="a").sel(trial=9)
    assert (row.budget, row.status) == (1, "ok")
    assert row.stopped.item().startswith("no score at 3 epochs: RuntimeError: told to fail")


def test_a_trial_that_diverges_does_not_go_on(search):
    """NaN is a result, and the worst."""
    (search.folder / "nan-9").touch()
    assert search.make().code == 0
    assert dt.best(search.dataset()).config == {"a": 8}
    assert search.make("-q").code == 0


def test_always_make_trains_all_rungs_once_more(search):
    """From the start, each epoch once."""
    search.make()
    trained(search)
    assert search.make("-B").code == 0
    counts = trained(search)
    assert sum(counts.values()) == SPENT
    assert set(counts.values()) == {1}


def test_the_stages_before_are_goals_of_a_search(search):
    """Just the data, or all rungs without the dataset."""
    assert search.make("preprocessed").code == 0
    assert trained(search) == {}
    assert search.make("trained").code == 0
    assert sum(trained(search).values()) == SPENT
    assert not (search.root / "collated.zarr").exists()


def test_a_models_number_of_trials_is_a_total(search):
    """More of them go on from where the search was, as if it had been as long from the start."""
    search.edit(
        "space = dt.Space(a=dt.choice(*range(1, 10)))", "space = dt.Space(a=dt.uniform(0, 1))"
    )
    search.edit("space.grid()", "space")
    assert search.make("--search", "Optuna(12)").code == 0
    assert len(trained(search)) == 12 * 9
    assert search.make("--search", "Optuna(12)", "-q").code == 0
    assert search.make("--search", "Optuna(16)").code == 0
    assert len(trained(search)) == 4 * 9
    other = ["--store", str(search.folder / "other")]
    assert search.make("--search", "Optuna(16)", *other).code == 0
    through = dt.open_results(search.folder / "other" / "toy")
    assert search.dataset().trial.values.tolist() == through.trial.values.tolist()
    trained(search)
    for path in (search.root / "searches").iterdir():
        path.write_text(path.read_text()[:-40])  # as after a kill while a line was written
    assert search.make("--search", "Optuna(16)").code == 0
    assert trained(search) == {}
    assert search.make("--search", "Optuna(16)", "-B").code == 0
    assert len(trained(search)) == 16 * 9
    assert search.make("--search", "Optuna(16)", "-q").code == 0


def test_the_best_are_replicated(search):
    """More seeds for the leaders only, of a sweep or of a search; what is there counts."""
    search.edit("a=dt.choice(*range(1, 10))", "a=dt.choice(*range(1, 10)), seed=dt.replicates(2)")
    words = ("--search", "none", "--replicate-best", "2", "--seeds", "5")
    assert "at most 216 of 216 epochs" in search.cli("plan", *words).out
    assert search.make(*words).code == 0
    assert len(trained(search)) == 2 * 9 * 9 + 2 * 3 * 9
    counts = Counter(search.dataset().a.values.tolist())
    assert (counts[9], counts[8], counts[7]) == (5, 5, 2)
    assert search.make(*words, "-q").code == 0
    assert search.make("--replicate-best", "1", "--seeds", "3").code == 0
    assert trained(search) == {}
    assert Counter(search.dataset().a.values.tolist())[9] == 3


def test_a_race_adds_seeds_until_the_others_are_told_to_be_worse(search):
    """Of all configs of the design; the plan is an upper bound."""
    search.edit("a=dt.choice(*range(1, 10))", "a=dt.choice(1, 2, 3), seed=dt.replicates(1)")
    words = ("--search", "Race(6, first=3, test='t')")
    assert f"at most {3 * 6 * 9} of {3 * 6 * 9} epochs" in search.cli("plan", *words).out
    assert search.make(*words).code == 0
    assert sum(trained(search).values()) == 3 * 3 * 9
    dataset = search.dataset()
    assert Counter(dataset.a.values.tolist()) == {1: 3, 2: 3, 3: 3}
    assert set(dataset.stopped.values) == {
        "won after 3 replicates",
        "told to be worse after 3 replicates",
    }
    assert search.make(*words, "-q").code == 0
    assert search.make("--search", "Race(6, first=4, test='t')").code == 0
    assert sum(trained(search).values()) == 3 * 9


def test_what_patience_stopped_can_go_on_later(search):
    """It is a target at a shorter budget: with more patience only the rest is trained."""
    search.edit("trial.config.a - 50 / (epoch + 1)", "-abs(epoch - trial.config.a)")
    assert search.make("--search", "Patience(2)").code == 0
    assert sum(trained(search).values()) == sum(min(9, a + 3) for a in range(1, 10))
    assert search.make("--search", "Patience(4)").code == 0
    assert sum(trained(search).values()) == sum(min(9, a + 5) - min(9, a + 3) for a in range(1, 10))
    assert search.make("--search", "none", "a=1").code == 0
    assert sum(trained(search).values()) == 3


def test_a_sweep_without_epochs_can_be_replicated(project):
    """Its trials are trained as they are."""
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), seed=dt.replicates(1))")
    project.edit("epochs=2", "rounds=2")
    project.edit("trial.epochs(epochs)", "trial.epochs(rounds)")
    assert project.make().code == 0
    project.ran()
    assert project.make("--replicate-best", "1", "--seeds", "3").code == 0
    assert project.ran() == ["train a=2,b=4,seed=1", "train a=2,b=4,seed=2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-t"], "cannot touch a search"),
        (["trained/a=1"], "No rule to make target"),
        (["-W", "preprocessed"], "without -o and -W"),
        (["--search", "hyperband(max_epochs=3)", "epochs=9"], "cannot change"),
        (["--search", "nothing"], "no strategy 'nothing'"),
        (["--replicate-best", "2"], "are given together"),
        (["--replicate-best", "2", "--seeds", "3"], "needs replicates in the space"),
    ],
)
def test_what_makes_no_sense_in_a_search_is_refused(search, words, message):
    """In one line, with exit code 2."""
    result = search.make(*words)
    assert result.code == 2
    assert message in result.err


def test_a_pipeline_without_epochs_cannot_be_searched(search):
    """It says how to name them."""
    search.edit(' budget="epochs",', "")
    assert "budget='epochs'" in search.make().err


@pytest.mark.parametrize(
    ("strategy", "most"), [("ASHA(9)", 3), ("MedianStopping(9)", 3), ("Optuna(6)", 1)]
)
def test_a_rule_is_asked_ahead_of_short_trainings_and_a_model_is_not(
    search, monkeypatch, strategy, most
):
    """So that no worker waits for a decision; what a model asks for is the better the later."""
    from dasktune.flight import Here

    waiting = []
    ended = Here.ended

    def count(here):
        waiting.append(sum(len(batch.names) for batch in here._batches))
        return ended(here)

    monkeypatch.setattr(Here, "ahead", 2)
    monkeypatch.setattr(Here, "ended", count)
    assert search.make("--search", strategy).code == 0
    assert max(waiting) == most
    assert set(trained(search).values()) == {1}
    assert search.make("--search", strategy, "-q").code == 0


def test_names_that_the_dataset_of_a_search_uses_are_no_hyperparameters(search):
    """With the fix."""
    search.edit("dt.Space(a=", "dt.Space(rung=1, a=")
    assert "'rung' is a hyperparameter. Rename it." in search.make().err


def test_a_makefile_of_a_search_is_refused(search):
    """Its targets follow from results."""
    result = search.cli("export-makefile")
    assert result.code == 2
    assert "cannot be written as a Makefile" in result.err


def test_what_is_known_of_a_search_can_be_asked(search):
    """Why, status, logs, debug."""
    search.make()
    name = search.dataset().trial.values[0]
    assert "up to date" in search.cli("why", f"trained/{name}").out
    assert "done          9" in search.cli("status").out
    assert search.cli("logs", name).code == 0
    assert search.cli("debug", name).code == 0


def test_a_search_of_the_command_line_can_be_asked_about(search):
    """By its name again, or without it: then by what is in the store."""
    search.edit(
        "space = dt.Space(a=dt.choice(*range(1, 10)))", "space = dt.Space(a=dt.uniform(0, 1))"
    )
    search.edit("space.grid()", "space.random(2)")
    search.edit(", search=dt.SuccessiveHalving()", "")
    search.edit("total.value += trial.config.a", "print('word', epoch)")
    named = ("--search", "Optuna(3)")
    assert search.make(*named).code == 0
    name = search.dataset().trial.values[-1]
    for words in (named, ()):
        assert "word 8" in search.cli("logs", name, *words).out
    assert "up to date" in search.cli("why", f"trained/{name}", *named).out
    told = search.cli("why", f"trained/{name}").out
    assert "not of this sweep" in told
    assert "made 20" in told
    assert "done          3" in search.cli("status", *named).out
    assert "done          0" in search.cli("status").out
    assert "word 8" in search.cli("debug", name, *named).out
    for command, word in (("logs", "b=1"), ("why", "trained/b=1")):
        assert "No rule to make target 'trained/b=1'" in search.cli(command, word).err


@pytest.mark.parametrize(
    "strategy", ["Hyperband()", "ASHA(n_trials=9)", "MedianStopping(9)", "Optuna(6)"]
)
def test_a_search_runs_on_any_cluster(search, strategy):
    """A synchronous one comes to the same dataset as in this process."""
    words = ("--search", strategy, "--store", str(search.folder / "here"))
    assert search.make(*words).code == 0
    trained(search)
    sweep = search.sweep().searching(strategy_of(strategy))
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
            resources={"GPU": 1},
        ) as cluster,
        Client(cluster) as client,
    ):
        events = []
        summary = dt.make(sweep, options=dt.Options(cluster=client), observe=events.append)
    assert summary.exit_code == 0
    assert sweep.plan().up_to_date
    assert max(trained(search).values()) == 1
    assert {event["event"] for event in events} >= {"plan", "rung", "started", "finished"}
    found, here = search.dataset(), dt.open_results(search.folder / "here" / "toy")
    if strategy == "Hyperband()":
        xr.testing.assert_identical(found.drop_vars(VARYING), here.drop_vars(VARYING))
    assert found.sizes["trial"] == here.sizes["trial"]


def test_a_stopped_trial_of_a_search_goes_on_with_the_next_make(search):
    """Which is all that the hint suggests: a search itself says what it does without."""
    search.edit(
        "    trial.checkpoint(total=total)\n",
        "    trial.checkpoint(total=total)\n"
        "    if os.path.exists(f'{HERE}/end-{trial.config.a}'):\n"
        "        os.makedirs(os.path.dirname(trial._end_flag), exist_ok=True)\n"
        "        open(trial._end_flag, 'w').close()\n",
    )
    (search.folder / "end-9").touch()
    result = search.make()
    assert result.code == 2
    assert "stopped by request after 2 epochs; 'make' goes on with it." in result.err
    assert "make -o" not in result.err
    (search.folder / "end-9").unlink()
    result = search.make()
    assert result.code == 0, result.err
    assert search.dataset().budget.max() == 9
