"""The recipe for scikit-learn: any estimator, and each fold a trial of its own."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import dasktune as dt
from dasktune.errors import PipelineError
from dasktune.sklearn.folds import check_cv, split

FILE = """
import numpy as np
import xarray as xr
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import make_scorer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.linear_model import SGDClassifier
from sklearn.svm import SVC

import dasktune as dt
from dasktune.sklearn.table import to_dataset


def preprocess():
    frame, y = load_breast_cancer(return_X_y=True, as_frame=True)
    groups, weights = np.arange(len(y)) // 10, np.where(y, 1.0, 2.0)
    return {
        "train": to_dataset(x=frame, y=y, group=groups, weight=weights),
        "val": to_dataset(x=frame[:99], y=y[:99], weight=weights[:99]),
    }


def shrink(x):
    return x * 0.5


def agreement(y, found):
    return float((y == found).mean())


model = make_pipeline(StandardScaler(), FunctionTransformer(shrink), SVC())
space = dt.Space(svc__C=dt.choice(0.1, 10.0), fold=dt.folds(3))
train = dt.SklearnRecipe(model, cv=3)
pipeline = dt.Pipeline(space, preprocess, train, objective="max val_score")
"""


@pytest.fixture
def recipe(project):
    """Give a project that cross-validates a support vector machine."""
    project.file.write_text(FILE)
    return project


def data():
    """Give the data of the pipeline."""
    return load_breast_cancer(return_X_y=True, as_frame=True)


def test_each_fold_is_a_trial_with_the_score_of_scikit_learns_own_cross_validation(recipe):
    """To the last bit, from a data frame."""
    assert recipe.make().code == 0, recipe.make().err
    grid = dt.to_grid(recipe.dataset()).val_score.isel(epoch=-1)
    assert grid.dims == ("svc__C", "fold")
    x, y = data()
    for c in (0.1, 10.0):
        model = make_pipeline(StandardScaler(), SVC(C=c))
        cv = StratifiedKFold(3, shuffle=True, random_state=0)
        # The transformer in between only rescales, for which gamma='scale' makes up.
        scores = cross_validate(model, x, y, cv=cv)["test_score"]
        assert grid.sel(svc__C=c).values.tolist() == scores.tolist()


def test_hyperparameters_of_steps_and_folds_are_narrowed_on_the_command_line(recipe):
    """Their names have two underscores."""
    assert recipe.make("svc__C=10,100", "fold=1,2").code == 0
    dataset = recipe.dataset()
    assert dataset.svc__C.values.tolist() == [10, 10, 100, 100]
    assert dataset.fold.values.tolist() == [1, 2, 1, 2]
    assert str(dataset.trial.values[0]).startswith("svc__C=10,fold=1-")
    assert recipe.make("-q", "svc__C=10").code == 1
    assert "did you mean 'svc__C'" in recipe.make("scv__C=1").err.replace("Did", "did")


@pytest.mark.parametrize(
    ("old", "new", "retrains"),
    [
        ("SVC())", "SVC(gamma=0.5))", True),
        ("SVC())", "SVC(gamma='scale'))", False),
        ("x * 0.5", "x * 0.25", True),
        ("cv=3", "cv=KFold(3)", True),
        ("cv=3", "cv=3, scoring='accuracy'", True),
        ("cv=3", "cv=3, scoring=make_scorer(agreement)", True),
        ("y == found", "y != found", False),
    ],
)
def test_the_estimator_and_what_it_reaches_count_as_code(recipe, old, new, retrains):
    """A parameter at its default is not another estimator."""
    assert recipe.make("svc__C=1", "fold=0").code == 0
    recipe.edit(old, new)
    assert recipe.make("-q", "svc__C=1", "fold=0").code == int(retrains)


def test_the_code_of_a_scorer_counts(recipe):
    """Through what make_scorer wrapped around it."""
    recipe.edit("cv=3", "cv=3, scoring=make_scorer(agreement)")
    assert recipe.make("svc__C=1", "fold=0").code == 0
    recipe.edit("y == found", "y != found")
    assert recipe.make("-q", "svc__C=1", "fold=0").code == 1


def test_without_folds_it_is_scored_on_val_by_several_scorers(recipe):
    """Weights go to fit; train scores are reported when asked for."""
    recipe.edit(", fold=dt.folds(3)", "")
    recipe.edit(
        "cv=3",
        'scoring=["accuracy", "roc_auc"], train_scores=True, '
        'fit_variables={"svc__sample_weight": "weight"}',
    )
    recipe.edit("max val_score", "max val_roc_auc")
    assert recipe.make().code == 0
    dataset = recipe.dataset()
    assert set(dataset.data_vars) == {
        "val_accuracy",
        "val_roc_auc",
        "train_accuracy",
        "train_roc_auc",
    }
    x, y = data()
    model = make_pipeline(StandardScaler(), SVC(C=10.0))
    model.fit(x, y, svc__sample_weight=np.where(y, 1.0, 2.0))
    assert dataset.val_accuracy.values[1, 0] == model.score(x[:99], y[:99])
    assert dataset.train_accuracy.values[1, 0] == model.score(x, y)


def test_partial_fit_reports_a_curve_whose_length_is_a_variable(recipe):
    """As scikit-learn by hand; the arrays that are asked for are kept without a pickle."""
    recipe.edit("FunctionTransformer(shrink), SVC())", "SGDClassifier(random_state=0))")
    recipe.edit("svc__C=dt.choice(0.1, 10.0)", "sgdclassifier__alpha=dt.choice(0.01)")
    recipe.edit("cv=3", 'cv=KFold(3), epochs=4, keep=("coef_", "intercept_")')
    assert recipe.make("fold=0").code == 0
    curve = recipe.dataset().val_score.values[0]
    x, y = data()
    train, test = next(KFold(3).split(x))
    scaler = StandardScaler().fit(x.iloc[train])
    model = SGDClassifier(alpha=0.01, random_state=0)
    for score in curve:
        model.partial_fit(scaler.transform(x.iloc[train]), y.iloc[train], classes=[0, 1])
        assert model.score(scaler.transform(x.iloc[test]), y.iloc[test]) == score
    assert len(curve) == 4
    (kept,) = (recipe.root / "trained").glob("*/model.safetensors")
    np.testing.assert_allclose(load_file(kept)["coef_"], model.coef_, rtol=1e-9)
    assert recipe.make("fold=0", "epochs=2").code == 0
    assert recipe.dataset().sizes["epoch"] == 2


def test_objects_stand_behind_the_names_in_the_config(recipe):
    """Steps may be exchanged; their parameters count."""
    recipe.edit("svc__C=dt.choice(0.1, 10.0)", 'standardscaler=dt.choice("none", "std")')
    recipe.edit(
        "cv=3",
        'cv=3, named={"standardscaler": {"none": "passthrough", "std": StandardScaler()}}',
    )
    assert recipe.make("fold=0").code == 0
    none, std = recipe.dataset().objective.values
    assert std > none
    recipe.edit('"std": StandardScaler()', '"std": StandardScaler(with_std=False)')
    assert recipe.make("-q", "fold=0").code == 1
    failed = recipe.make("standardscaler=sdt", "fold=0")
    assert failed.code == 2
    assert "named['standardscaler'] has no 'sdt'. Did you mean 'std'?" in failed.err + failed.out


def test_a_replicate_seeds_an_estimator_that_draws_at_random(recipe):
    """random_state=None draws from the trial's seed: another seed, another result; again, equal."""
    recipe.edit("FunctionTransformer(shrink), SVC())", "SGDClassifier())")
    recipe.edit("svc__C=dt.choice(0.1, 10.0)", "seed=dt.replicates(3)")
    recipe.edit("cv=3", 'cv=3, keep=("coef_",)')
    assert recipe.make("fold=0").code == 0
    first = {p.parent.name: load_file(p)["coef_"] for p in recipe.root.glob("trained/*/*.safet*")}
    assert len({value.tobytes() for value in first.values()}) == 3
    assert recipe.make("-B", "fold=0").code == 0
    for path in recipe.root.glob("trained/*/*.safetensors"):
        assert (load_file(path)["coef_"] == first[path.parent.name]).all()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("svc__C=dt", "svc__D=dt", "'svc__D' is no parameter of the estimator. Did you mean"),
        ("folds(3)", "folds([3])", "makes 3 folds, numbered from 0, but the space has fold 3"),
        ("cv=3", "cv=None", "a cv needs an axis of folds and the other way round"),
        (", fold=dt.folds(3)", "", "a cv needs an axis of folds and the other way round"),
        ("cv=3", "cv=3, epochs=2", "epochs are passes of partial_fit, which SVC has not"),
        ("cv=3", 'cv=3, targets="z"', "no variable 'z' in the data"),
    ],
)
def test_what_does_not_fit_together_is_told_with_the_fix(recipe, old, new, words):
    """One line."""
    recipe.edit(old, new)
    result = recipe.make()
    assert result.code == 2
    assert words in " ".join((result.err + result.out).split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"estimator": SVC}, "must be an estimator of scikit-learn"),
        ({"cv": 1}, "a number of folds of at least 2"),
        ({"cv": KFold(3, shuffle=True)}, "Give it an int as random_state"),
        ({"cv": "five"}, "a list of (train, test), but got 'five'"),
        ({"epochs": -1}, "epochs must be an int of at least 0, but got -1"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_at_once(arguments, words):
    """When the pipeline file is read."""
    with pytest.raises(PipelineError) as caught:
        dt.SklearnRecipe(**{"estimator": SVC(), **arguments})
    assert words in str(caught.value)


def test_a_fold_is_a_function_of_its_number():
    """Whatever was asked before; groups and classes are respected."""
    x, y = np.zeros((30, 1)), np.arange(30) % 3
    groups = np.arange(30) // 5
    for cv, kind in ((5, StratifiedKFold), (KFold(5), KFold), (GroupKFold(5), GroupKFold)):
        checked = check_cv(cv)
        tests = [
            split(checked, fold, x, y, groups if kind is GroupKFold else None, classifier=True)[1]
            for fold in (4, 0, 1, 2, 3)
        ]
        assert sorted(np.concatenate(tests)) == list(range(30))
    _, test = split(5, 2, x, y, groups, classifier=True)
    assert all((np.isin(groups[test], g)).sum() in (0, 5) for g in range(6))
    listed = check_cv([([0, 1], [2]), ([2], [0])])
    assert [part.tolist() for part in split(listed, 1, x)] == [[2], [0]]
