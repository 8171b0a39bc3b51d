"""Making: what runs, what is kept, and that the answer does not depend on where it ran."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr

import dasktune as dt

TRIALS = ["train a=1,b=3", "train a=1,b=4", "train a=2,b=3", "train a=2,b=4"]


def test_a_fresh_make_preprocesses_once_and_trains_each_trial_in_order(project):
    """Everything runs once, left to right."""
    result = project.make()
    assert result.code == 0
    assert project.ran() == ["preprocess", *TRIALS]
    assert "trained 4 of 4 trials" in result.out


def test_a_second_make_has_nothing_to_do(project):
    """Nothing runs, no cluster starts, exit code 0."""
    project.make()
    project.ran()
    result = project.cli("make", "--cluster", "tcp://127.0.0.1:1")  # would fail if it connected
    assert result.code == 0
    assert result.out == "dasktune: Nothing to be done for 'all'.\n"
    assert project.ran() == []


def test_a_real_goal_says_that_it_is_up_to_date(project):
    """As make does for a file."""
    project.make()
    assert project.make("collated").out == "dasktune: 'collated' is up to date.\n"


def test_a_new_value_on_an_axis_trains_only_the_new_trials(project):
    """The difference, and nothing else."""
    project.make("a=1")
    project.ran()
    project.make("a=1,2")
    assert project.ran() == TRIALS[2:]


def test_narrowing_trains_nothing_and_collates_what_is_asked(project):
    """A dropped configuration leaves no trace in the dataset."""
    project.make()
    project.ran()
    assert project.make("a=2").code == 0
    assert project.ran() == []
    assert set(project.dataset().a.values) == {2}


def test_a_failure_stops_new_starts_and_keeps_what_is_done(project):
    """Like make without -k."""
    (project.folder / "fail-1-4").touch()
    result = project.make()
    assert result.code == 2
    assert project.ran() == ["preprocess", *TRIALS[:2]]
    assert "RuntimeError: told to fail (toy.py:" in result.err
    assert "Target 'all' not remade because of errors." in result.err
    assert "trained 1 of 4 trials, 1 failed (1 exception), 2 not tried;" in result.out
    (project.folder / "fail-1-4").unlink()
    again = project.make()
    assert again.code == 0
    assert "trained 3 of 4 trials, kept 1;" in again.out
    assert project.ran() == TRIALS[1:]


def test_keep_going_trains_the_others_and_does_not_collate(project):
    """Like make -k; the second time only the failed one is tried."""
    (project.folder / "fail-1-4").touch()
    assert project.make("-k").code == 2
    assert project.ran() == ["preprocess", *TRIALS]
    assert not (project.root / "collated.zarr").exists()
    assert project.make("-k").code == 2
    assert project.ran() == [TRIALS[1]]


def test_ignore_errors_collates_with_nan_and_the_error_beside_it(project):
    """The failed trial gets no stamp, and is tried again next time."""
    (project.folder / "fail-1-4").touch()
    result = project.make("-i")
    assert result.code == 0
    dataset = project.dataset()
    failed = dataset.isel(trial=1)
    assert failed.status.item() == "failed"
    assert "told to fail" in failed.error.item()
    assert np.isnan(failed.score.values).all()
    assert np.isnan(failed.objective.item())
    assert list(dataset.status.values) == ["ok", "failed", "ok", "ok"]
    (project.folder / "fail-1-4").unlink()
    project.ran()
    assert project.make().code == 0
    assert project.ran() == [TRIALS[1]]
    assert list(project.dataset().status.values) == ["ok"] * 4


def test_always_make_makes_all_that_the_goal_needs(project):
    """Like make -B, limited to the goal's prerequisites."""
    project.make()
    project.ran()
    project.make("-B", "trained/a=2,b=3")
    assert project.ran() == ["preprocess", TRIALS[2]]
    project.make("-B")
    assert project.ran() == ["preprocess", *TRIALS]


def test_an_equal_preprocess_cuts_off_early(project):
    """Preprocessed again with the same result: no trial is trained."""
    project.make()
    project.ran()
    project.edit('note("preprocess")', 'note("preprocess") or None')
    result = project.make()
    assert project.ran() == ["preprocess"]
    assert result.code == 0


def test_a_deleted_result_is_made_again(project):
    """Only the hole is filled."""
    project.make()
    project.ran()
    shutil.rmtree(next((project.root / "trained").glob("a=2,b=3-*")))
    project.make()
    assert project.ran() == [TRIALS[2]]


def test_reverting_an_edit_costs_nothing(project):
    """Old results stay under their keys."""
    project.make()
    project.ran()
    project.edit("OFFSET = 0", "OFFSET = 5")
    project.make()
    assert project.ran() == TRIALS
    project.edit("OFFSET = 5", "OFFSET = 0")
    project.make()
    assert project.ran() == []


def test_a_comment_retrains_nothing_and_a_helper_does(project):
    """Code counts by what it means, and through the functions that it calls."""
    project.make()
    project.ran()
    project.edit("def score(a, b):", "# a comment\n\n\ndef score(a, b):\n    'A docstring.'")
    project.make()
    assert project.ran() == []
    project.edit("return a * 10 + b", "return a * 100 + b")
    project.make()
    assert project.ran() == TRIALS


def test_a_changed_helper_in_an_imported_module_retrains(project):
    """Helpers in other files of the user's count too."""
    (project.folder / "helpers.py").write_text(
        "def scale(x):\n    return x\n\ndef other():\n    pass\n"
    )
    project.edit("import os\n", "import os\n\nfrom helpers import scale\n")
    project.edit("return a * 10 + b", "return scale(a * 10 + b)")
    project.make()
    project.ran()
    project.edit("    pass", "    return 1", "helpers.py")
    project.make()
    assert project.ran() == []
    project.edit("return x", "return x + 1", "helpers.py")
    project.make()
    assert project.ran() == TRIALS


def test_two_pipelines_with_helpers_of_the_same_name_do_not_mix(project, tmp_path_factory):
    """Each is given the module beside it, also in one process."""
    other = tmp_path_factory.mktemp("other")
    for folder, value in ((project.folder, 1), (other, 2)):
        (folder / "helpers.py").write_text(f"VALUE = {value}\n")
    project.edit("OFFSET = 0", "from helpers import VALUE as OFFSET")
    shutil.copy(project.file, other / "toy.py")
    project.make("a=1", "b=3")
    project.run_cli(
        [
            "make",
            "-f",
            str(other / "toy.py"),
            "--store",
            str(other),
            "--cluster",
            "none",
            "a=1",
            "b=3",
        ]
    )
    assert project.dataset().objective.item() + 1 == dt.open_results(other / "toy").objective.item()


def test_swapped_values_are_another_trial(project):
    """Snakemake compares parameters as a set; a sweep must not."""
    project.make("a=1", "b=3")
    project.ran()
    project.make("a=3", "b=1")
    assert project.ran() == ["preprocess"] * 0 + ["train a=3,b=1"]


def test_one_more_file_in_the_preprocessed_store_retrains_nothing(project):
    """Only what the stamp lists counts."""
    project.make()
    project.ran()
    store = next((project.root / "preprocessed").iterdir())
    (store / "data.zarr" / "stray").write_text("x")
    project.make()
    assert project.ran() == []


def test_variables_of_train_and_preprocess_are_overridden(project):
    """epochs= belongs to train, rows= to preprocess."""
    project.make()
    project.ran()
    project.make("epochs=3")
    assert project.ran() == TRIALS
    assert project.dataset().sizes["epoch"] == 3
    project.make("rows=5")
    assert project.ran() == ["preprocess", *TRIALS]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_dataset_is_equal_bit_for_bit_wherever_it_ran(project, jobs):
    """In this process, on one worker and on two."""
    project.make()
    here = project.dataset()
    result = project.cli("make", "--store", "other", "-j", jobs)
    assert result.code == 0, result.err
    there = dt.open_results(project.folder / "other" / "toy")
    varying = ["seconds", "training_seconds", "worker", "finished"]
    xr.testing.assert_identical(here.drop_vars(varying), there.drop_vars(varying))


def test_one_worker_trains_from_left_to_right(project):
    """-j1 has make's order on a cluster too."""
    project.cli("make", "-j1")
    assert project.ran() == ["preprocess", *TRIALS]


def test_a_failure_on_one_worker_starts_nothing_more(project):
    """As in this process: C never starts."""
    (project.folder / "fail-1-4").touch()
    result = project.cli("make", "-j1")
    assert result.code == 2
    assert project.ran() == ["preprocess", *TRIALS[:2]]


def test_keep_going_and_ignore_errors_on_workers(project):
    """-k and -i mean the same on a cluster."""
    (project.folder / "fail-1-4").touch()
    assert project.cli("make", "-j2", "-k").code == 2
    assert sorted(project.ran()) == ["preprocess", *TRIALS]
    result = project.cli("make", "-j2", "-i")
    assert result.code == 0
    assert list(project.dataset().status.values) == ["ok", "failed", "ok", "ok"]


def test_touch_accepts_older_results_and_refuses_where_there_are_none(project):
    """-t files what there is under the present key, and says so in the stamp."""
    refused = project.make("-t")
    assert refused.code == 2
    assert "no result" in refused.err
    project.make()
    project.ran()
    project.edit("OFFSET = 0", "OFFSET = 5")
    assert project.make("-t").code == 0
    assert project.make().code == 0
    assert project.ran() == []
    sweep = project.sweep()
    outcome = sweep.plan().trials()[0].outcome
    stamp = sweep.store.stamp(sweep.store.trained(sweep.pipeline.trials()[0].id, outcome.key))
    assert stamp.body["accepted"]["key"] != outcome.key


def test_old_and_new_targets(project):
    """-o: never made, though stale; -W: what follows from it is made."""
    project.make()
    project.ran()
    project.make("-W", "preprocessed")
    assert project.ran() == TRIALS
    project.edit("OFFSET = 0", "OFFSET = 5")
    project.make("-o", "trained/a=1,b=4")
    assert project.ran() == [TRIALS[0], *TRIALS[2:]]
    project.make()
    assert project.ran() == [TRIALS[1]]
    project.edit('note("preprocess")', 'note("preprocess"); rows += 1')
    project.make("-o", "preprocessed")
    assert project.ran() == []


def test_clean_removes_the_pipelines_store(project):
    """And -n only says so."""
    project.make()
    assert project.make("-n", "clean").code == 0
    assert project.root.exists()
    assert project.make("clean").code == 0
    assert not project.root.exists()
