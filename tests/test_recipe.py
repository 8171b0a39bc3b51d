"""Recipes on a worker: the code of the plan, whatever else the worker makes."""

from __future__ import annotations

import pytest

import dasktune as dt
from dasktune import recipe
from dasktune.errors import CodeSkewError


@pytest.fixture
def worker(monkeypatch):
    """Make this process one that holds no pipelines, as a worker that begins."""
    monkeypatch.setattr(recipe, "_live", {})
    monkeypatch.setattr(recipe, "_held", {})

    def forget():
        recipe._live.clear()
        recipe._held.clear()

    return forget


def sweep(folder, words):
    """Give a sweep whose file has the same name as the other one's."""
    folder.mkdir()
    (folder / "same.py").write_text(
        f"import dasktune as dt\n\n\ndef preprocess():\n    return {{}}  # {words}\n\n\n"
        f"def train(trial, data):\n    trial.report({words}=1)\n\n\n"
        "space = dt.Space(a=dt.choice(1))\n"
        f'pipeline = dt.Pipeline(space, preprocess, train, objective="max {words}")\n'
    )
    made = dt.Sweep.load(str(folder / "same.py"), store=str(folder / "dist"))
    made.store.prepare()
    made.codes.save(made.store)
    return made


def test_one_worker_makes_two_pipelines_of_one_name(tmp_path, worker):
    """Their nodes come in any order, and each finds its own code."""
    one, other = sweep(tmp_path / "one", "score"), sweep(tmp_path / "other", "loss")
    worker()
    for role in ("preprocess", "train"):
        for made in (one, other):
            code = made.codes.codes[role].digest
            found = recipe.recipe_pipeline(made.store, made.codes.digest, role, code)
            assert str(found.objective) == str(made.pipeline.objective)


def test_other_code_than_that_of_the_plan_is_refused(tmp_path, worker):
    """Nothing is filed under the wrong key."""
    made = sweep(tmp_path / "one", "score")
    worker()
    with pytest.raises(CodeSkewError, match="other code for train"):
        recipe.recipe_pipeline(made.store, made.codes.digest, "train", "0" * 64)
