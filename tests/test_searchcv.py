"""SearchCV: what GridSearchCV finds, and passes what it passes; but it remembers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge, SGDClassifier
from sklearn.metrics import accuracy_score, make_scorer, mean_pinball_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

import dasktune as dt
from dasktune.errors import CodeSkewError, FitFailed, NotStorable, SourceError, SpaceError
from dasktune.recipe import Codes, bring
from dasktune.source import Sources

X, Y = load_iris(return_X_y=True)
FRAME, TARGET = load_iris(return_X_y=True, as_frame=True)
REGRESSION, VALUES = load_diabetes(return_X_y=True)
TEXTS = ["red fish", "blue fish", "one cat", "two cats", "old cat", "new fish"] * 5
C = {"C": [0.1, 1.0, 10]}
WEIGHTS = np.where(Y == 1, 3.0, 1.0)


@pytest.fixture(autouse=True)
def _one_thread():
    """Let scikit-learn's own fits not fight for the processors of a loaded machine."""
    with threadpool_limits(1):
        yield


def several(estimator, x, y):
    """Give two scores."""
    return {"a": estimator.score(x, y), "b": 1.0}


def broken(estimator, x, y):
    """Fail."""
    raise RuntimeError("no score today")


def case(estimator, grid, x=X, y=Y, fit=None, **options):
    """Name what a comparison is made of."""
    return estimator, grid, x, y, fit or {}, options


CASES = {
    "plain": case(SVC(), {"C": [0.1, 1.0], "gamma": [0.1, 1.0]}, return_train_score=True),
    "several scorers": case(SVC(), C, scoring=["accuracy", "f1_macro"], refit="f1_macro"),
    "odd names": case(SVC(), C, scoring={"my acc": "accuracy", "f-1": "f1_macro"}, refit=False),
    "a function of several scores": case(SVC(), C, scoring=several, refit="a"),
    "a function": case(SVC(), C, scoring=lambda model, x, y: model.score(x, y)),
    "a scorer with an argument": case(
        QuantileRegressor(),
        {"alpha": [0.1, 1.0]},
        REGRESSION[:60],
        VALUES[:60],
        scoring=make_scorer(mean_pinball_loss, greater_is_better=False, alpha=0.3),
    ),
    "refit by a function": case(SVC(), C, refit=lambda results: 2),
    "no refit": case(SVC(), C, refit=False),
    "a data frame and words": case(
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": [1, 10]},
        FRAME,
        TARGET.map({0: "a", 1: "b", 2: "c"}),
    ),
    "a sparse matrix": case(SVC(), C, sparse.csr_matrix(X)),
    "lists of texts": case(
        make_pipeline(CountVectorizer(), LogisticRegression()),
        {
            "countvectorizer__ngram_range": [(1, 1), (1, 2)],
            "countvectorizer__stop_words": [None, ["one"]],
        },
        TEXTS,
        [0, 0, 1, 1, 1, 0] * 5,
        cv=3,
    ),
    "estimators, and other parameters in other grids": case(
        Pipeline([("scale", StandardScaler()), ("model", SVC())]),
        [
            {"scale": ["passthrough", StandardScaler()], "model": [SVC(), Ridge()]},
            {"model": [SGDClassifier(random_state=0)], "model__alpha": [1e-3, 1e-2]},
        ],
        scoring="accuracy",
        error_score=-1,
    ),
    "steps of odd names": case(
        Pipeline([("my-step", StandardScaler()), ("2nd", SVC())]),
        {"2nd__C": [1, 10], "my-step__with_mean": [True, False]},
    ),
    "numpy's numbers": case(Ridge(), {"alpha": np.logspace(-2, 2, 3)}, REGRESSION, VALUES),
    "functions and dicts": case(
        make_pipeline(FunctionTransformer(), SVC()),
        {
            "functiontransformer__func": [None, np.log1p, lambda x: x * 2],
            "svc__class_weight": [None, {0: 1, 1: 2, 2: 3}],
        },
    ),
    "groups": case(SVC(), C, fit={"groups": np.arange(150) % 7}, cv=GroupKFold(3)),
    "weights": case(SVC(), C, fit={"sample_weight": WEIGHTS}),
    "a kernel matrix": case(SVC(kernel="precomputed"), C, X @ X.T),
    "no targets": case(KMeans(random_state=0, n_init=1), {"n_clusters": [2, 3]}, X, None),
    "a transformer": case(PCA(), {"n_components": [1, 2]}, X, None),
    "overlapping tests": case(SVC(), C, cv=ShuffleSplit(4, random_state=0)),
    "listed folds": case(SVC(), C, cv=list(KFold(3, shuffle=True, random_state=1).split(X))),
    "masks as folds": case(SVC(), C, cv=[(np.arange(150) % 2 == 0, np.arange(150) % 2 == 1)]),
    "as many folds as samples": case(SVC(), {"C": [1.0]}, X[::6], Y[::6], cv=LeaveOneOut()),
    "two targets": case(Ridge(), {"alpha": [0.1, 1.0]}, REGRESSION, np.c_[VALUES, VALUES**2]),
    "one candidate": case(SVC(), {}),
    "a candidate twice": case(SVC(), {"C": [1.0, 1.0, 2.0]}),
    "some fits fail": case(SVC(), {"C": [-1, 1.0]}),
    "some fits fail, for a score": case(
        SVC(), {"C": [-1, 1.0]}, error_score=0, scoring=several, refit="a", return_train_score=True
    ),
    "a scorer fails": case(
        SVC(), C, scoring={"no": broken, "accuracy": "accuracy"}, refit="accuracy"
    ),
    "the only scorer fails": case(SVC(), C, scoring=broken),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_it_finds_what_grid_search_finds(name):
    """The same columns, scores, ranks and best candidate, and it delegates the same."""
    estimator, grid, x, y, fit, options = CASES[name]
    theirs = GridSearchCV(estimator, grid, **options).fit(x, y, **fit)
    ours = dt.SearchCV(estimator, grid, **options).fit(x, y, **fit)
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    for column, values in theirs.cv_results_.items():
        found = ours.cv_results_[column]
        if column == "params":
            assert [params.keys() for params in found] == [params.keys() for params in values]
        elif column.startswith("param_"):
            assert found.dtype == values.dtype
            assert (np.ma.getmaskarray(found) == np.ma.getmaskarray(values)).all()
        elif column.endswith("_time"):
            assert (found >= 0).all()
        else:
            np.testing.assert_allclose(found, values, rtol=1e-12, err_msg=column)
    for attribute in ("best_index_", "best_score_", "multimetric_", "n_splits_"):
        np.testing.assert_equal(
            getattr(ours, attribute, None), getattr(theirs, attribute, None), attribute
        )
    for attribute in (
        "predict",
        "predict_proba",
        "decision_function",
        "transform",
        "inverse_transform",
        "score_samples",
        "classes_",
        "n_features_in_",
        "feature_names_in_",
        "best_estimator_",
        "refit_time_",
    ):
        assert hasattr(ours, attribute) == hasattr(theirs, attribute), attribute
    if hasattr(theirs, "predict"):
        np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))


def twin(search):
    """Give scikit-learn's own search of the same."""
    return GridSearchCV(search.estimator, search.param_grid, cv=search.cv)


@parametrize_with_checks(
    [
        dt.SearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2),
        dt.SearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()),
            {"logisticregression__C": [0.1, 1.0]},
            cv=2,
        ),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_it_passes_what_grid_search_passes_of_scikit_learns_own_checks(estimator, check):
    """A check that it fails is one that GridSearchCV fails too."""
    try:
        check(clone(estimator))
    except AssertionError:
        with pytest.raises(AssertionError):
            check(twin(estimator))
        pytest.skip("GridSearchCV fails this check as well")


@pytest.mark.parametrize(
    ("estimator", "grid", "options", "kind", "words"),
    [
        (SVC(), {"C": [-1, -2]}, {}, FitFailed, r"All the 10 fits failed(.|\n)*'C' parameter"),
        (SVC(), {"C": [-1, 1.0]}, {"error_score": "raise"}, ValueError, "The 'C' parameter of SVC"),
        (SVC(), {"D": [1]}, {}, ValueError, "Invalid parameter 'D'"),
        (SVC(), {"C": 1}, {}, TypeError, "Parameter grid"),
        (SVC(), C, {"scoring": "nonsense"}, ValueError, "'scoring' parameter of SearchCV"),
        (SVC(), C, {"scoring": ["accuracy", "f1_macro"]}, ValueError, "For multi-metric scoring"),
        (SVC(), C, {"scoring": several}, ValueError, "For multi-metric scoring"),
        (SVC(), C, {"cv": 200}, ValueError, "n_splits=200"),
        (SVC(), C, {"cv": []}, ValueError, "No fits were performed"),
        (SVC(), dt.Space(C=dt.choice(1), seed=dt.replicates(2)), {}, SpaceError, "axes seed"),
        (SVC(), C, {"refit": 3}, ValueError, "'refit' parameter of SearchCV"),
    ],
)
def test_what_cannot_be_is_told_as_scikit_learn_does(
    tmp_path, monkeypatch, estimator, grid, options, kind, words
):
    """With the same kinds of errors."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        dt.SearchCV(estimator, grid, **options).fit(X, Y)


def test_what_could_only_be_pickled_is_refused():
    """Samples that are dicts have to be made columns of first."""
    with pytest.raises(NotStorable, match="not 'dict'"):
        dt.SearchCV(SVC(), C).fit(np.array([[{}]] * 150, dtype=object), Y)


def trained(search):
    """Count the trials that a fit trained, by when they were finished."""
    return len(os.listdir(f"{search.store}/{search.name}/trained"))


def test_a_second_search_over_equal_data_trains_only_what_is_new(tmp_path):
    """And gives the very same; other data are other trials."""
    search = dt.SearchCV(SVC(), C, store=tmp_path).fit(X, Y)
    assert trained(search) == 15
    again = dt.SearchCV(SVC(), C, store=tmp_path, cluster="local").fit(X.copy(), Y.copy())
    np.testing.assert_equal(
        {name: again.cv_results_[name] for name in again.cv_results_ if name != "params"},
        {name: search.cv_results_[name] for name in search.cv_results_ if name != "params"},
    )
    assert set(again.dataset_.worker.values) == {"none"}
    wider = dt.SearchCV(SVC(), {"C": [1.0, 100]}, store=tmp_path).fit(X, Y)
    assert trained(wider) == 20
    dt.SearchCV(SVC(tol=1e-3), C, store=tmp_path).fit(X, Y)
    assert trained(wider) == 20  # its default, spelled out
    dt.SearchCV(SVC(tol=1e-4), {"C": [1.0]}, store=tmp_path).fit(X, Y)
    assert trained(wider) == 25
    dt.SearchCV(SVC(), {"C": [1.0]}, store=tmp_path).fit(X + 1, Y)
    assert trained(wider) == 30
    dt.SearchCV(SVC(), {"C": [1.0]}, store=tmp_path, scoring="f1_macro").fit(X, Y)
    assert trained(wider) == 35
    dt.SearchCV(SVC(), {"C": [1.0]}, store=tmp_path).fit(X, Y, sample_weight=WEIGHTS)
    assert trained(wider) == 40


def test_only_failed_fits_are_tried_again(tmp_path):
    """What succeeded is kept."""
    search = dt.SearchCV(SVC(), {"C": [-1.0, 1.0]}, store=tmp_path)
    for _ in range(2):
        with pytest.warns() as told:
            search.fit(X, Y)
        assert "5 fits failed out of a total of 10" in str(told[0].message)
        assert trained(search) == 5


def test_objects_without_an_identity_are_refused_where_results_are_kept(tmp_path):
    """Its changes could not be seen; without a store there is nothing to confuse."""
    search = dt.SearchCV(SVC(), C, scoring=closed_over(threading.Lock()))
    assert search.fit(X, Y).best_params_ == {"C": 10}
    with pytest.raises(SourceError, match="cannot be told"):
        search.set_params(store=tmp_path).fit(X, Y)


def test_the_score_of_an_error_counts(tmp_path):
    """A scorer's failure is a result like another."""
    for score in (-1.0, -2.0):
        search = dt.SearchCV(SVC(), C, scoring=broken, error_score=score, store=tmp_path)
        assert search.fit(X, Y).best_score_ == score


def test_what_a_notebook_defines_has_no_text_that_could_be_watched(tmp_path):
    """So its results are not kept; without a store it may be searched."""
    code = (
        "import dasktune as dt; from sklearn.svm import SVC; "
        "from sklearn.datasets import load_iris; from dasktune.errors import SourceError\n"
        "def score(model, x, y): return model.score(x, y)\n"
        "data = load_iris(return_X_y=True)\n"
        "print(dt.SearchCV(SVC(), {'C': [1]}, scoring=score).fit(*data).best_params_)\n"
        "try: dt.SearchCV(SVC(), {'C': [1]}, scoring=score, store='.').fit(*data)\n"
        "except SourceError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("{'C': 1}\nscore is defined in a notebook or at a prompt")


def closed_over(thing):
    """Make a scorer that holds something."""

    def score(estimator, x, y):
        assert thing
        return estimator.score(x, y)

    return score


def test_a_space_or_a_design_of_dasktune_may_be_searched():
    """Drawn at random, for instance."""
    design = dt.Space(C=dt.log_uniform(0.1, 10), kernel=dt.choice("rbf", "linear")).random(4)
    search = dt.SearchCV(SVC(), design).fit(X, Y)
    assert search.cv_results_["params"] == [dict(spec.config) for spec in design.trials()]
    whole = dt.SearchCV(SVC(), dt.Space(C=dt.choice(1.0, 2.0))).fit(X, Y)
    assert whole.cv_results_["param_C"].tolist() == [1.0, 2.0]


def test_metadata_are_routed_as_grid_search_routes_them():
    """To fit, to the scorer, to the splitter; what nobody asked for is an error."""
    with sklearn.config_context(enable_metadata_routing=True):
        model = SVC().set_fit_request(sample_weight=True)
        scoring = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        given = {"sample_weight": WEIGHTS, "groups": np.arange(150) % 7}
        options = {"scoring": scoring, "cv": GroupKFold(3)}
        theirs = GridSearchCV(model, C, **options).fit(X, Y, **given)
        ours = dt.SearchCV(model, C, **options).fit(X, Y, **given)
        scores = "mean_test_score"
        assert (ours.cv_results_[scores] == theirs.cv_results_[scores]).all()
        with pytest.raises(ValueError, match="sample_weight"):
            dt.SearchCV(SVC(), C).fit(X, Y, sample_weight=WEIGHTS)


def test_a_search_may_be_cross_validated_itself():
    """A search inside of a search's trial as well."""
    inner, outer = dt.SearchCV(SVC(), C, cv=3), GridSearchCV(SVC(), C, cv=3)
    scores = cross_val_score(outer, X, Y)
    assert (cross_val_score(inner, X, Y) == scores).all()
    nested = dt.SearchCV(inner, {"estimator__gamma": [0.1]}).fit(X, Y)
    expected = cross_val_score(outer.set_params(estimator__gamma=0.1), X, Y)
    np.testing.assert_array_equal(nested.cv_results_["mean_test_score"], [expected.mean()])


def test_the_callers_random_numbers_are_left_alone():
    """Though each trial seeds the global generators."""
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).random()
    dt.SearchCV(SGDClassifier(), {"alpha": [0.01]}, refit=False).fit(X, Y)
    assert (random.random(), np.random.random()) == expected


def test_it_runs_on_any_cluster():
    """A client's, or one at an address."""
    from distributed import Client, LocalCluster

    expected = GridSearchCV(SVC(), C).fit(X, Y).cv_results_["mean_test_score"]
    with (
        warnings.catch_warnings(),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        for where in (client, cluster.scheduler_address):
            search = clone(dt.SearchCV(SVC(), C, cluster=where)).fit(X, Y)
            assert (search.cv_results_["mean_test_score"] == expected).all()
            assert set(search.dataset_.worker.values) == {"0"}


SCRIPT = """
import sys
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import dasktune as dt


class Power(TransformerMixin, BaseEstimator):
    def __init__(self, exponent=1):
        self.exponent = exponent

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X**self.exponent


if __name__ == "__main__":
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(Power(), SVC())
    grid = {"power__exponent": [1, 2], "svc__class_weight": [None, {0: 1, 1: 2, 2: 3}]}
    search = dt.SearchCV(model, grid, cluster=sys.argv[1], jobs=2, store="dist").fit(x, y)
    expected = GridSearchCV(model, grid).fit(x, y)
    assert search.best_params_ == expected.best_params_
    scores = "mean_test_score"
    assert (search.cv_results_[scores] == expected.cv_results_[scores]).all()
    print(sorted(set(search.dataset_.worker.values)))
"""


def test_a_scripts_own_classes_travel_to_the_workers_and_count_as_code(tmp_path):
    """They are in no module that a worker could import; an edit trains again."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def run(cluster):
        done = subprocess.run(
            [sys.executable, str(script), cluster], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return len(os.listdir(tmp_path / "dist" / "search" / "trained")), done.stdout.strip()

    assert run("local")[0] == 20
    count, workers = run("none")
    assert count == 20
    assert workers != "['none']"  # what the workers trained was found
    script.write_text(SCRIPT.replace("X**self.exponent", "X**self.exponent + 0"))
    assert run("none") == (40, "['none']")
    script.write_text(SCRIPT.replace("    x, y =", "    # the data\n    x, y ="))
    assert run("none")[0] == 40


def test_a_worker_with_another_version_of_a_module_refuses():
    """It would file a result under the wrong key."""
    here = __name__
    codes = Codes(Sources(here, {here: {"source": "old = 1", "file": __file__}}), {})
    with pytest.raises(CodeSkewError, match="another version of"):
        bring(None, codes)
