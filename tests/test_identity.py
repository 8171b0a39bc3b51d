"""Identity: equal for equal content, refused where there is none."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, mean_pinball_loss
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from dasktune.fingerprint import digest, typed
from dasktune.identity import described


def fitted(c):
    """Fit a classifier that is then frozen."""
    return FrozenEstimator(LogisticRegression(C=c).fit([[0.0], [1.0]], [0, 1]))


def scorer(alpha):
    """Make a scorer with an argument."""
    return make_scorer(mean_pinball_loss, alpha=alpha)


@pytest.mark.parametrize(
    ("make", "one", "other"),
    [
        (lambda x: SVC(C=x), 1.0, 2.0),
        (lambda x: make_pipeline(StandardScaler(), SVC(C=x)), 1.0, 2.0),
        (lambda x: [("a", x)], PCA(2), PCA(3)),
        (lambda x: KFold(5, shuffle=True, random_state=x), 0, 1),
        (np.random.RandomState, 0, 1),
        (np.random.default_rng, 0, 1),
        (lambda x: np.arange(3) + x, 0, 1),
        (lambda x: np.arange(3).astype(x), "i4", "i8"),
        (np.float32, 0.5, 0.25),
        (lambda x: sparse.csr_matrix([[0, x]]), 1, 2),
        (stats.uniform, 1, 2),
        (RBF, 1.0, 2.0),
        (scorer, 0.1, 0.2),
        (fitted, 1.0, 2.0),
        (lambda x: {"k": {x}}, SVC, PCA),
        (lambda x: FunctionTransformer(x), np.log, np.exp),
    ],
)
def test_objects_of_equal_content_are_equal_and_others_differ(make, one, other):
    """Made anew each time, so that no address is shared."""
    first, again, different = (described(make(value))[0] for value in (one, one, other))
    assert digest(first) == digest(again)
    assert digest(first) != digest(different)


def test_a_plain_value_is_described_as_keys_know_it():
    """So that no key changes."""
    for value in (None, 1, 1.5, True, "a", (1, "b"), {"a": [1.0]}, {1, 2}):
        assert described(value) == (typed(value), [])


def test_a_parameter_at_its_default_does_not_count():
    """A newer release may add some."""
    assert described(SVC(C=1.0)) == described(SVC())


def test_functions_and_classes_are_handed_on_to_be_followed():
    """Their text is their identity."""
    step = FunctionTransformer(scorer)
    assert described([step, KFold])[1] == [FunctionTransformer, scorer, KFold]


def test_what_a_fit_has_learnt_does_not_count():
    """Estimators are cloned before they are trained."""
    model = LogisticRegression()
    before = described(model)
    assert described(model.fit([[0.0], [1.0]], [0, 1])) == before


def test_an_object_that_holds_itself_has_an_end():
    """A circle."""
    circles = [[1], [1], [2]]
    for circle in circles:
        circle.append(circle)
    one, same, other = (digest(described(circle)[0]) for circle in circles)
    assert one == same != other


@pytest.mark.parametrize("thing", [object(), threading.Lock(), (i for i in "ab"), [object()]])
def test_what_has_no_identity_but_its_address_is_refused(thing):
    """Its changes could not be seen."""
    with pytest.raises(TypeError):
        described(thing)
