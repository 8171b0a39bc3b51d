"""Bad input: one clear line, exit code 2, and a next run that carries on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

TRIALS = ["train a=1,b=3", "train a=1,b=4", "train a=2,b=3", "train a=2,b=4"]


def one_error(result, *words):
    """Check that stderr is one line with these words, and the exit code 2."""
    assert result.code == 2
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("dasktune: *** ")
    for word in words:
        assert word in lines[0]


def failure(result, *words):
    """Check that a trial or target failed with these words, without a traceback."""
    assert result.code == 2
    assert "Traceback" not in result.err
    assert result.err.startswith("dasktune: *** [")
    for word in words:
        assert word in result.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def train(:", ("toy.py:1: SyntaxError",)),
        ("\nimport nothing_like_it", ("toy.py:2: ModuleNotFoundError", "nothing_like_it")),
        ("x = 1\n1 / 0", ("toy.py:2: ZeroDivisionError",)),
        ("x = 1", ("must define one Pipeline named 'pipeline'",)),
        ("import dasktune as dt\nspace = dt.Space(a=[1, 2])", ("toy.py:2:", "choice(1, 2)")),
    ],
)
def test_a_pipeline_file_that_cannot_be_loaded(project, text, words):
    """The line, the cause, and no traceback."""
    project.file.write_text(text)
    one_error(project.make(), *words)


def test_a_file_that_hides_a_module_of_pythons_own(project):
    """Of which the workers would die; one that nobody needs, or in a package, does no harm."""
    hiding = project.file.with_name("json.py")
    hiding.write_text("x = 1\n")
    one_error(project.make("-n"), "json.py has the name of a module of Python's own", "Rename")
    project.file.with_name("__init__.py").touch()
    assert project.make("-n").code == 0
    project.file.with_name("__init__.py").unlink()
    hiding.rename(hiding.with_name("antigravity.py"))
    assert project.make("-n").code == 0


def test_a_missing_file_and_a_missing_folder(project, run_cli):
    """As make says it."""
    one_error(run_cli(["make", "-f", "nowhere.py"]), "nowhere.py: No such file")
    one_error(run_cli(["make", "-C", "nowhere"]), "nowhere: No such file")
    one_error(run_cli(["make"]), "no pipeline file found", "-f FILE")


def test_debug_shows_the_traceback(project):
    """And only then."""
    from dasktune.cli import main

    project.file.write_text("1 / 0")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        main(["make", "-f", str(project.file), "--debug"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def train(trial, data, epochs=2)", "def train(trial)", ("train(trial, data)",)),
        ("def train(trial, data, epochs=2)", "def train(trial, data, n)", ("'n' has none",)),
        ('objective="max score"', 'objective="score"', ("'max' or 'min'",)),
        ('objective="max score"', 'objective="max score", resources={"GPU": 0}', ("GPU",)),
        ('objective="max score"', 'objective="max score", inputs=["raw"]', ("raw", "No such")),
    ],
)
def test_a_pipeline_that_does_not_fit_together(project, old, new, words):
    """The rule, the value received, the fix."""
    project.edit(old, new)
    one_error(project.make(), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], ("No rule to make target 'nosuch'.",)),
        (["colated"], ("Did you mean 'collated'?",)),
        (["epoch=3"], ("no hyperparameter or variable 'epoch'", "Did you mean 'epochs'?")),
        (["epochs=many"], ("'epochs' must be of type int", "'many'")),
        (["epochs=1,2"], ("takes one value",)),
        (["a=x"], ("a: a value must be int", "'x'")),
        (["a=1,1"], ("needs different values",)),
        (["-nq"], ("exclude each other",)),
        (["--cluster", "nowhere"], ("a cluster is 'none', 'local', 'cuda'",)),
        (["--store", "toy.py"], ("cannot", "toy.py")),
        (["-o", "preprocessed"], ("-o preprocessed needs",)),
    ],
)
def test_a_command_line_that_asks_for_what_is_not_there(project, arguments, words):
    """What is wrong, and what was perhaps meant."""
    one_error(project.cli("make", *arguments), *words)
    assert project.ran() == []


@pytest.mark.parametrize("arguments", [["-j0"], ["-jx"], ["--nosuch"]])
def test_a_bad_option_exits_with_two(project, arguments):
    """As make does."""
    assert project.make(*arguments).code == 2


def test_an_unreachable_scheduler_is_an_error(project, monkeypatch):
    """Within the time to connect, and not a hang."""
    monkeypatch.setattr("dasktune.cluster.running.CONNECT_SECONDS", 1)
    result = project.cli("make", "--cluster", "tcp://127.0.0.1:1")
    one_error(result, "cannot connect to the scheduler at tcp://127.0.0.1:1")


def test_keep_going_makes_the_goals_that_exist(project):
    """And still exits with 2."""
    result = project.make("-k", "nosuch", "trained/a=1,b=3")
    assert result.code == 2
    assert project.ran() == ["preprocess", TRIALS[0]]


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("return 3", ("must give back a mapping",)),
        ("return {}", ("must give back a mapping",)),
        ("return {'train': np.zeros(3)}", ("'train' must be an xarray.Dataset",)),
        ("raise ValueError('bad file')", ("preprocessed] ValueError: bad file",)),
    ],
)
def test_a_preprocess_that_gives_the_wrong_thing(project, new, words):
    """Nothing is trained."""
    project.edit('return {"train"', f"{new}\n    return {{'train'")
    failure(project.make(), *words)
    assert project.ran() == ["preprocess"]


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("score='high', noise", ("the metric 'score' must be a number", "'high'")),
        ("score=[1, 2], noise", ("the metric 'score' must be a number",)),
        ("status=1, noise", ("'status'", "identifier other than")),
        ("sore=1, noise", ("must report the objective's metric 'score'", "Did you mean 'sore'?")),
    ],
)
def test_metrics_that_are_not_numbers(project, new, words):
    """The trial fails, saying which metric and what it was."""
    project.edit("score=score(trial.config.a, trial.config.b) + epoch + OFFSET, noise", new)
    failure(project.make(), *words)


def test_a_result_that_cannot_be_kept(project):
    """The rule and the fix."""
    project.edit('raise RuntimeError("told to fail")', "pass\n    return object()")
    failure(project.make(), "train() may give back None, a torch.nn.Module or a mapping")


def test_what_train_gives_back_is_kept_as_safetensors(project):
    """A mapping of arrays."""
    project.edit(
        'raise RuntimeError("told to fail")',
        "pass\n    return {'w': np.arange(3) * trial.config.a}",
    )
    assert project.make("a=2", "b=3").code == 0
    (path,) = project.root.glob("trained/*/model.safetensors")
    assert list(load_file(path)["w"]) == [0, 2, 4]


def test_ragged_epochs_are_padded_with_nan(project):
    """Each trial has as many rows as it reported."""
    project.edit("trial.epochs(epochs)", "trial.epochs(trial.config.a)")
    assert project.make().code == 0
    score = project.dataset().score.values
    assert np.isnan(score).tolist() == [[False, True]] * 2 + [[False, False]] * 2


def test_nan_is_recorded_and_not_tried_again(project):
    """A diverged trial is a result."""
    project.edit("epoch + OFFSET", "epoch + (float('nan') if trial.config.a == 1 else 0)")
    assert project.make().code == 0
    project.ran()
    assert project.make().out == "dasktune: Nothing to be done for 'all'.\n"
    dataset = project.dataset()
    assert np.isnan(dataset.objective.values).tolist() == [True, True, False, False]
    assert list(dataset.status.values) == ["ok"] * 4


def stamp_of(project, pattern):
    """Find a stamp."""
    (path,) = project.root.glob(f"{pattern}/.stamp")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b'"value":', b'"value" :'),
        lambda data: b"nonsense",
        lambda data: data.replace(b'"kind":"train"', b'"kind":"trian"'),
    ],
)
def test_a_damaged_stamp_remakes_its_target_alone(project, damage):
    """Truncated, emptied, edited: it counts for nothing, and the plan says why."""
    project.make()
    project.ran()
    stamp = stamp_of(project, "trained/a=2,b=3-*")
    stamp.write_bytes(damage(stamp.read_bytes()))
    assert "its stamp is damaged" in project.make("-n").out
    assert project.make().code == 0
    assert project.ran() == [TRIALS[2]]


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_missing_chunk_remakes_the_preprocessed_data(project, how):
    """Zarr itself would read zeros, without a word."""
    project.make()
    project.ran()
    (chunk,) = project.root.glob("preprocessed/*/data.zarr/train/x/c/*")
    if how == "missing":
        chunk.unlink()
    else:
        chunk.write_bytes(chunk.read_bytes()[:-4])
    assert "train/x/c/0" in project.make("-n").out
    assert project.make().code == 0
    assert project.ran() == ["preprocess"]
    assert project.make("-q").code == 0


def test_a_collation_of_lost_results_is_made_again(project):
    """Even the view is only a view."""
    project.make()
    shutil.rmtree(project.root / "collated")
    assert project.make().code == 0
    assert project.dataset().sizes["trial"] == 4


@pytest.mark.parametrize(
    "change", ["data['train'].x.values[0] = 1", "data.tensor('train', 'x').add_(1)"]
)
def test_changing_the_shared_data_fails_the_trial_that_does_it(project, change):
    """And no other trial sees the change."""
    project.edit('raise RuntimeError("told to fail")', f"{change}")
    (project.folder / "fail-1-4").touch()
    project.edit(
        'note("train " + trial.id)',
        'note("train " + trial.id)\n    assert data.tensor("train", "x").sum() == 6',
    )
    result = project.make("-k")
    assert result.code == 2
    assert project.ran() == ["preprocess", *TRIALS]
    assert result.err.count("***") == 1


def test_the_log_of_a_trial_is_found_finished_or_failed(project):
    """With the traceback of a failure, which the terminal is spared."""
    (project.folder / "fail-1-3").touch()
    project.make("-k")
    assert "training a=1,b=4" in project.cli("logs", "a=1,b=4").out
    failed = project.cli("logs", "a=1,b=3").out
    assert "Traceback" in failed
    assert 'raise RuntimeError("told to fail")' in failed
    one_error(project.cli("logs", "a=9,b=3"), "No rule to make target")


def test_status_counts_failures(project):
    """From the store alone."""
    (project.folder / "fail-1-3").touch()
    project.make("-k")
    counts = json.loads(project.cli("status", "--json").out)
    assert (counts["done"], counts["failed"], counts["left"]) == (3, 1, 0)


def test_results_of_nothing_and_of_an_unknown_column(project):
    """One line each."""
    one_error(project.cli("results"), "no collated dataset", "dasktune make")
    project.make()
    one_error(project.cli("results", "--sort", "scor"), "Did you mean 'score'?")
