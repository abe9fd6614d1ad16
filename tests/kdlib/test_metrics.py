from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_curve

from kdlib.metrics import error_rates
from kdsuite.runs.metrics import accuracy, by_fold, uar


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {"label": list("aaabbcc"), "predicted": list("aabbdcd"), "fold": [0, 0, 0, 0, 1, 1, 1]}
    )


def test_uar_by_hand_and_by_scikit_learn(predictions):
    assert uar(predictions) == pytest.approx(
        (2 / 3 + 1 / 2 + 1 / 2) / 3
    )  # class d is only predicted: it does not count
    with pytest.warns(UserWarning, match="not in y_true"):
        assert uar(predictions) == pytest.approx(
            balanced_accuracy_score(predictions.label, predictions.predicted)
        )
    assert accuracy(predictions) == pytest.approx(
        accuracy_score(predictions.label, predictions.predicted)
    )


def test_a_class_missing_from_a_fold(predictions):
    folds = by_fold(predictions).set_index("fold")
    assert folds.uar[0] == pytest.approx((2 / 3 + 1) / 2) and folds.recordings.to_list() == [4, 3]
    assert folds.uar[1] == pytest.approx((0 + 1 / 2) / 2)


def test_categories_of_the_whole_corpus_do_not_dilute(predictions):
    predictions["label"] = pd.Categorical(predictions.label, categories=list("abcdefg"))
    assert uar(predictions) == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)


def test_error_rates_are_those_of_scikit_learn_with_ties_and_without():
    random = np.random.default_rng(0)
    for decimals in (1, 8):
        scores, genuine = random.normal(size=300).round(decimals), random.random(300) < 0.3
        accepted, recalled, thresholds = roc_curve(genuine, scores, drop_intermediate=False)
        ours = error_rates(scores, genuine)
        np.testing.assert_allclose(ours, (accepted, 1 - recalled, thresholds), atol=1e-12)
